// What a page has that none of ours has: a function of our origins, the page's first, for `evaluate`.
(ours) => {
  const found = [];
  const strange = new Set(["IFRAME", "OBJECT", "EMBED", "BASE", "ANIMATE", "STYLE"]);
  const leads = /^(href|src|action|formaction|data|poster|xlink:href|hx-(get|post|put|delete|patch))$/;
  const isOurs = (value) => {
    try {
      return ours.includes(new URL(value, ours[0]).origin);
    } catch {
      return false;
    }
  };
  for (const each of document.querySelectorAll("*")) {
    const tell = (what) => found.push(`${what}: ${each.outerHTML.slice(0, 160)}`);
    if (strange.has(each.tagName.toUpperCase())) tell("element");
    if (each.matches("meta[http-equiv=refresh]")) tell("refresh");
    if (each.matches("script:not([src])")) tell("script");
    for (const { name, value } of each.attributes) {
      if (name.startsWith("on") || name.startsWith("hx-on")) tell(name);
      if (/^(style|srcdoc)$/.test(name) && /evil|pwned/.test(value)) tell(name);
      if (!leads.test(name) || isOurs(value)) continue;
      if (name === "src" && value.startsWith("data:image/")) continue;
      const isLink = each.tagName === "A" && /^https?:\/\//.test(value);
      if (!isLink || !/noopener/.test(each.rel) || !/noreferrer/.test(each.rel)) tell(name);
    }
  }
  return found;
};
