"""How an answer written in Markdown looks in Messenger, which shows plain text only.

| Markdown | Messenger |
|---|---|
| bold, italic, strike, inline code | the text |
| heading | a line of its own, directly above its text: splitting keeps the two together |
| link | `text: url`; the address once if the text is the address |
| image | `alt url` |
| list | `•` or the number as written, nested by two spaces |
| table | a line a row: `• first cell — Header: value; Header: value` |
| code block | its lines as they are |
| quote, rule | `> ` before each line, `———` |
| raw HTML | shown as text, never parsed |

Line breaks, blank lines between blocks, emoji, `snake_case` and addresses stay as they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode

RULE = "———"
BULLET = "•"
INDENT = "  "

# The parser drops what is nested deeper, and some of its rules take quadratic time. No answer that
# somebody wants to read comes near these; a text beyond them is shown as it was written.
MAX_NESTING = 60
MAX_CHARS = 50_000
MAX_BRACKETS = 1_000
MAX_ADDRESSES = 500


def to_messenger_text(markdown: str) -> str:
    """Render Markdown as the plain text that Messenger shows; "" where it holds nothing to show.

    Never raises: a text the parser cannot take (hostile nesting, a bug of the parser) is returned
    as it was written, because an answer with asterisks is better than no answer.
    """
    if not _is_tame(markdown):
        return markdown.strip()
    source = _free_tables(markdown.replace("\r\n", "\n").replace("\r", "\n"))
    try:
        return _render(source).strip()
    except Exception:  # includes RecursionError; see the docstring
        return markdown.strip()


def _is_tame(markdown: str) -> bool:
    return (
        len(markdown) <= MAX_CHARS
        and markdown.count("[") <= MAX_BRACKETS
        and markdown.count("://") <= MAX_ADDRESSES
    )


def _render(source: str) -> str:
    text, addresses = _render_with(_parser(references=True), source)
    if all(address in text for address in addresses):
        return text
    # A definition like `[1]: https://…` that no link uses would vanish: show it as it was written.
    return _render_with(_parser(references=False), source)[0]


def _render_with(parser: MarkdownIt, source: str) -> tuple[str, list[str]]:
    """The text, and the addresses of all link definitions in the source."""
    env: dict[str, dict[str, dict[str, str]]] = {}
    tokens = parser.parse(source, env)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return source, []  # what lies deeper was dropped by the parser
    text = _Renderer(source.split("\n")).blocks(SyntaxTreeNode(tokens).children)
    return text, [reference["href"] for reference in env.get("references", {}).values()]


class _AsWritten(MarkdownIt):
    """Leaves addresses readable: `…/wiki/Phở`, not `…/wiki/Ph%E1%BB%9F`."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the library's name
        return url.replace(" ", "%20")


@cache
def _parser(*, references: bool) -> MarkdownIt:
    options = {"html": False, "linkify": True, "maxNesting": MAX_NESTING}
    parser = _AsWritten("commonmark", options)
    parser.enable(["table", "strikethrough", "linkify"])
    if not references:
        parser.disable("reference")
    parser.inline.ruler.before("emphasis", "times_sign", _times_sign)
    return parser


def _times_sign(state: StateInline, silent: bool) -> bool:
    """Read `2*3*4` and `2**8` as arithmetic; CommonMark reads emphasis."""
    source, start = state.src, state.pos
    if source[start] != "*" or start == 0 or not source[start - 1].isdigit():
        return False
    end = start
    while end < state.posMax and source[end] == "*":
        end += 1
    if end == state.posMax or not source[end].isdigit():
        return False
    if not silent:
        state.pending += source[start:end]
    state.pos = end
    return True


def _free_tables(source: str) -> str:
    """Put a blank line above each table: below a list line, its rows are taken as list text."""
    lines = source.split("\n")
    out: list[str] = []
    for number, (line, in_code) in enumerate(_with_code_marks(lines)):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if not in_code and "|" in line and _is_delimiter_row(below) and out and out[-1].strip(" >"):
            out.append(line[: len(line) - len(line.lstrip(" >"))].rstrip())
        out.append(line)
    return "\n".join(out)


def _is_delimiter_row(line: str) -> bool:
    row = line.lstrip(" >")
    return "|" in row and "-" in row and not set(row) - set("|-: \t")


def _with_code_marks(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Each line with whether it belongs to a fenced code block."""
    fence = ""
    for line in lines:
        mark = _fence_mark(line)
        yield line, bool(fence)
        if not fence:
            fence = mark
        elif mark.startswith(fence):
            fence = ""


def _fence_mark(line: str) -> str:
    """The run of backticks or tildes that opens or closes a code block; "" for other lines."""
    text = line.lstrip(" >")
    for sign in ("`", "~"):
        run = text[: len(text) - len(text.lstrip(sign))]
        if len(run) >= 3:
            return run
    return ""


class _Renderer:
    """Turns a syntax tree into text; keeps the source's lines to see where blank ones stood."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._block: dict[str, Callable[[SyntaxTreeNode], str]] = {
            "paragraph": self._leaf,
            "heading": self._leaf,
            "bullet_list": self._bullet_list,
            "ordered_list": self._ordered_list,
            "blockquote": self._quote,
            "table": self._table,
            "fence": _code,
            "code_block": _code,
            "hr": lambda _: RULE,
        }

    def blocks(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        """Render blocks that follow one another."""
        return self._joined([(node, self._block[node.type](node)) for node in nodes])

    def _joined(self, rendered: Iterable[tuple[SyntaxTreeNode, str]]) -> str:
        out: list[str] = []
        above: SyntaxTreeNode | None = None
        for node, text in rendered:
            if not text.strip():
                continue
            if above is not None:
                out.append(self._gap(above, node))
            out.append(text)
            above = node
        return "".join(out)

    def _gap(self, above: SyntaxTreeNode, node: SyntaxTreeNode) -> str:
        """A blank line where the author left one; always above, never below a heading."""
        if above.type == "heading":
            return "\n"
        if node.type == "heading" or self._follows_blank_line(node):
            return "\n\n"
        return "\n"

    def _follows_blank_line(self, node: SyntaxTreeNode) -> bool:
        first = node.map[0] if node.map else 0
        return first > 0 and not self._lines[first - 1].strip(" \t>")

    def _leaf(self, node: SyntaxTreeNode) -> str:
        return "".join(_inline(child.children) for child in node.children)

    def _bullet_list(self, node: SyntaxTreeNode) -> str:
        return self._joined((item, self._item(item, BULLET)) for item in node.children)

    def _ordered_list(self, node: SyntaxTreeNode) -> str:
        numbers = _numbers(node.children)
        return self._joined(
            (item, self._item(item, f"{number}{item.markup}"))
            for item, number in zip(node.children, numbers, strict=True)
        )

    def _item(self, item: SyntaxTreeNode, marker: str) -> str:
        first, *rest = (self.blocks(item.children) or " ").split("\n")
        return "\n".join(
            [f"{marker} {first}".rstrip(), *(f"{INDENT}{line}".rstrip() for line in rest)]
        )

    def _quote(self, node: SyntaxTreeNode) -> str:
        lines = self.blocks(node.children).split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def _table(self, node: SyntaxTreeNode) -> str:
        head, *bodies = ([self._cells(row) for row in part.children] for part in node.children)
        rows = [_row(head[0], cells) for body in bodies for cells in body]
        return "\n".join(rows or [_row([""] * len(head[0]), head[0])])

    def _cells(self, row: SyntaxTreeNode) -> list[str]:
        return [self._leaf(cell) for cell in row.children]


def _row(headers: Sequence[str], cells: Sequence[str]) -> str:
    facts = [
        f"{header}: {cell}" if header else cell
        for header, cell in zip(headers[1:], cells[1:], strict=True)
        if cell
    ]
    return f"{BULLET} " + " — ".join(part for part in (cells[0], "; ".join(facts)) if part)


def _numbers(items: Sequence[SyntaxTreeNode]) -> list[int]:
    """The numbers as written if they rise, otherwise counted from the first (`1. 1. 1.`)."""
    written = [int(item.info) for item in items]
    if all(a < b for a, b in pairwise(written)):
        return written
    return [written[0] + index for index in range(len(written))]


def _code(node: SyntaxTreeNode) -> str:
    return node.content.rstrip("\n")


def _inline(nodes: Iterable[SyntaxTreeNode]) -> str:
    return "".join(_inline_node(node) for node in nodes)


def _inline_node(node: SyntaxTreeNode) -> str:
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            return _link(_inline(node.children), str(node.attrs.get("href", "")), node.info)
        case "image":
            return f"{_inline(node.children)} {node.attrs.get('src', '')}".strip()
        case "em" | "strong" | "s":
            return _inline(node.children)
        case _:  # text, code_inline
            return node.content


def _link(text: str, href: str, info: str) -> str:
    if info == "auto":  # written as a bare address: leave it at that
        return text
    address = href.removeprefix("mailto:").removeprefix("tel:")
    if not text.strip() or _is_same_address(text, address):
        return address
    if not address or address.startswith("#"):  # leads nowhere outside of the text
        return text
    return f"{text.rstrip().removesuffix(':')}: {address}"


def _is_same_address(text: str, address: str) -> bool:
    return _bare(text) == _bare(address)


def _bare(address: str) -> str:
    return address.strip().removeprefix("https://").removeprefix("http://").rstrip("/")
