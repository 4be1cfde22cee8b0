"""The fixed parts of the comparison report: its look, and the script that sorts and filters tables."""

from typing import Final

STYLE: Final = """
:root{--page:#fbfbfa;--card:#fff;--ink:#1d2330;--soft:#667085;--line:#e4e7ec;--accent:#2f6feb;--good:#12805c;
--bad:#b42318;--shade:#f2f4f7}
@media(prefers-color-scheme:dark){:root{--page:#12151c;--card:#1a1f29;--ink:#e8ebf1;--soft:#98a2b3;--line:#2c3442;
--accent:#7aa7ff;--good:#4cc79a;--bad:#ff8577;--shade:#222836}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:27px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}h2{font-size:17px;margin:36px 0 12px}
.sub{color:var(--soft);margin:0 0 26px}code{font:13px ui-monospace,monospace;background:var(--shade);
padding:1px 5px;border-radius:4px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.card b{display:block;font-size:24px;font-variant-numeric:tabular-nums;line-height:1.3}
.card>span{color:var(--soft);font-size:13px}
.panel{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:auto}
svg{display:block;width:100%;height:auto;padding:14px}svg text{fill:var(--ink);font-size:13px}
svg .count{fill:var(--soft);font-size:12px}svg .band{opacity:.5}svg .band:hover{opacity:.85}
svg .node{rx:3px}svg .title{fill:var(--soft);font-size:12px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--shade)}
th{font-size:12px;color:var(--soft);font-weight:600;background:var(--shade);position:sticky;top:0}
th button{all:unset;cursor:pointer}th button:focus-visible{outline:2px solid var(--accent);border-radius:3px}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
.number{text-align:right}.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}
input{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:7px 12px;width:260px;margin-bottom:10px}
footer{color:var(--soft);font-size:13px;margin-top:34px}
"""

SCRIPT: Final = """
for(const table of document.querySelectorAll("table")){
 const heads=[...table.tHead.rows[0].cells],body=table.tBodies[0];
 heads.forEach((head,i)=>head.firstElementChild.addEventListener("click",()=>{
  const up=head.getAttribute("aria-sort")==="descending";
  heads.forEach(one=>one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort",up?"ascending":"descending");
  const key=row=>row.cells[i].dataset.sort??row.cells[i].textContent;
  const rows=[...body.rows].sort((a,b)=>{
   const x=key(a),y=key(b),n=Number(x)-Number(y);
   return (Number.isNaN(n)?x.localeCompare(y):n)*(up?1:-1)});
  body.append(...rows)}));
}
document.getElementById("filter")?.addEventListener("input",event=>{
 const word=event.target.value.toLowerCase();
 for(const row of document.querySelectorAll("#moves tbody tr"))
  row.hidden=!row.textContent.toLowerCase().includes(word)});
"""

COLOURS: Final = (
    "#2f6feb", "#d9730d", "#12805c", "#a33ea1", "#c4320a",
    "#0e7090", "#876a00", "#5925dc", "#c11574", "#3f621a",
)  # fmt: skip
"""Fills of flows by where they come from; legible on light and dark grounds."""
END_COLOUR: Final = "#8a94a6"
