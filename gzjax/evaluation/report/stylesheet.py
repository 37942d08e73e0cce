"""How a page looks: light or dark as the reader's system is, from 320 px on."""

CSS = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5b5b66; --paper: #fdfdfc;
  --card: #f3f3f0; --line: #d4d4cf; --observed: #4b6a88; --predicted: #d55e00;
  --link: #0b57a4; --heat: 0, 114, 178; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e7ea; --soft: #a5a5b0; --paper: #17181b; --card: #222327;
    --line: #3b3c42; --observed: #8fb3d6; --predicted: #f08a3c; --link: #8bbcf0;
    --heat: 86, 180, 233; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1rem 0 .5rem; }
p, dl { max-width: 46rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0;
  list-style: none; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0; color: var(--soft); }
img { max-width: 100%; height: auto; display: block; }
figure { margin: 0; }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; }
caption { padding-bottom: .35rem; }
.scroll { overflow-x: auto; margin: .75rem 0; max-width: 100%; }
.scroll > img { max-width: none; background: #fff; border-radius: .4rem; }
table { border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top; }
th { font-weight: 600; }
thead th { vertical-align: bottom; max-width: 14rem; overflow-wrap: break-word; }
th:first-child { text-align: left; }
tbody th { font-weight: 400; min-width: 8.5rem; max-width: 16rem;
  overflow-wrap: break-word; }
td { white-space: nowrap; }
caption { max-width: min(46rem, calc(100vw - 2rem)); }
.tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: start; }
.facts td, .facts th { text-align: left; }
.facts td { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
.share { padding: 0 .3rem; border-radius: .2rem; }
.plots { display: grid; gap: 1rem; margin: .75rem 0; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); }
.panels { display: grid; gap: .5rem; margin: .75rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(45%, 13rem), 1fr)); }
.plots img, .panels img { background: #fff; border-radius: .4rem; }
.cards { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr));
  align-items: start; }
.card { background: var(--card); border-radius: .5rem; padding: .75rem; }
.card h5 { margin: 0 0 .5rem; font-size: 1rem; }
.card p { margin: .25rem 0; font-size: .9rem; }
.card .head { display: flex; gap: .75rem; align-items: start; }
.card .crop { width: 8rem; flex: none; border-radius: .3rem; }
.maps { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(30%, 8.5rem), 1fr)); }
.maps img { width: 100%; border-radius: .3rem; }
.maps figcaption { font-size: .8rem; line-height: 1.3; }
.tree, .tree ul { list-style: none; margin: 0; padding: 0; }
.tree { font-size: .82rem; line-height: 1.35; margin-top: .5rem; }
.tree ul ul { margin-left: .25rem; padding-left: .6rem;
  border-left: 1px solid var(--line); }
.tree .question { font-weight: 600; }
.tree .row { display: grid; gap: .4rem; align-items: center;
  grid-template-columns: 1fr auto clamp(4em, 15vw, 6.5em); }
.tree .numbers { color: var(--soft); font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.bars { display: block; border-left: 1px solid var(--soft); }
.bars span { display: block; height: 5px; margin: 1px 0; min-width: 1px; }
.observed { background: var(--observed); }
.predicted { background: var(--predicted); }
.key { display: inline-block; width: 1.6em; height: .55em; }
.faint { color: var(--soft); }
.note { border-left: 3px solid var(--predicted); padding-left: .75rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; background: var(--card); padding: .75rem;
  border-radius: .4rem; font-size: .85rem; overflow-wrap: normal; }
"""
