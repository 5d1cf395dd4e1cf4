#!/usr/bin/env bash
# Makes the pictures of the README anew: runs the demo, and photographs its table and Temporal's Web UI in a headless Chromium.
# Needs Chromium and npm on the machine; leaves nothing behind but demo.png, temporal-ui.png and checkout-window.png beside it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill -INT "${demo:-}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$here/../.."
(cd "$work" && npm init -y >npm.log && npm install playwright-core sharp >>npm.log)
go build -o "$work/starter" ./starter
"$work/starter" demo --keep --ui-port 18233 >"$work/table.txt" 2>"$work/progress.txt" &
demo=$!
for _ in $(seq 600); do
  grep -q 'Running until' "$work/progress.txt" && break
  kill -0 "$demo"
  sleep 1
done
cat >"$work/shoot.mjs" <<'JS'
import {createRequire} from 'node:module';
import {readFileSync} from 'node:fs';
const {chromium} = createRequire(process.cwd() + '/')('playwright-core');
const out = process.argv[2];
const browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking']});
const page = await browser.newPage({viewport: {width: 1500, height: 860}});
const ui = 'http://127.0.0.1:18233';
const list = await (await fetch(ui + '/api/v1/namespaces/default/workflows')).json();
const runs = list.executions.map(e => e.execution);
const shoot = async (id, file) => {
  const run = runs.find(e => e.workflowId.startsWith(id));
  await page.goto(`${ui}/namespaces/default/workflows/${encodeURIComponent(run.workflowId)}/${run.runId}/history`, {waitUntil: 'domcontentloaded'});
  await page.getByRole('heading', {name: 'Event History', exact: true}).waitFor();
  await page.waitForTimeout(3000);
  await page.screenshot({path: `${out}/${file}`});
};
await shoot('merchant/sandbox/checkout', 'checkout-window.png');
runs.sort((a, b) => a.workflowId.length - b.workflowId.length);
await shoot('merchant/sandbox', 'temporal-ui.png');
const escaped = text => text.replace(/[&<>]/g, c => ({'&': '&amp;', '<': '&lt;', '>': '&gt;'}[c]));
const text = readFileSync('progress.txt', 'utf8').split('\nRunning until')[0].trimEnd() + '\n' + readFileSync('table.txt', 'utf8').trimEnd();
await page.setContent(`<style>body{margin:0;background:#14181f;display:inline-block}pre{margin:0;padding:24px 28px;color:#d8dee9;
  font:15px/1.45 "DejaVu Sans Mono",monospace}b{color:#8fd694;font-weight:normal}</style><pre><span style="color:#7f8b9c">$ go run ./starter demo</span>
${escaped(text).replace(/^(OK|\s+✓)/gm, '<b>$1</b>')}</pre>`);
await (await page.$('body')).screenshot({path: `${out}/demo.png`});
await browser.close();
JS
cat >"$work/small.mjs" <<'JS'
// A quarter of the size: what is photographed has few colours.
import sharp from 'sharp';
import {readFileSync, writeFileSync} from 'node:fs';
for (const file of process.argv.slice(2)) {
  writeFileSync(file, await sharp(readFileSync(file)).png({palette: true, colours: 64, effort: 10}).toBuffer());
}
JS
(cd "$work" && node shoot.mjs "$here" && node small.mjs "$here"/{demo,temporal-ui,checkout-window}.png)
