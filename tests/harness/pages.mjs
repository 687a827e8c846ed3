// Looks at pages as a browser shows them: axe-core (WCAG 2.1 AA), the keyboard, narrow and zoomed windows, and whatever the content
// policy forbids. Usage: node pages.mjs MODULES CHROMIUM BASE TOKEN PATH...   One line of JSON for each page that is not as it should be.
import { createRequire } from 'node:module';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [modules, chromium, base, token, ...paths] = process.argv.slice(2);
const require = createRequire(join(modules, 'x.js'));
const { chromium: browserType } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const profile = mkdtempSync(join(tmpdir(), 'pages-'));
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
// The policy of the page forbids what axe needs; what the page itself breaks of it is looked at first, with the policy in force.
const open = (bypassCSP) => browserType.launchPersistentContext(profile + (bypassCSP ? '-axe' : ''),
  { executablePath: chromium, headless: true, args, ignoreHTTPSErrors: true, bypassCSP, locale: 'de-DE' });
let bad = 0;
const report = (path, what, found) => { bad += 1; console.log(JSON.stringify({ path, what, found })); };

async function logIn(page) {
  await page.goto(base + '/login?back=' + encodeURIComponent('/'));
  await page.fill('#token', token);
  await page.click('main form button');
  await page.waitForLoadState();
}

const strict = await open(false);
const page = await strict.newPage();
const said = [];
page.on('console', (message) => said.push(message.text()));
page.on('pageerror', (error) => said.push(String(error)));
page.on('requestfailed', (request) => said.push('failed: ' + request.url()));
await logIn(page);
for (const path of paths) {
  said.length = 0;
  await page.setViewportSize({ width: 1280, height: 900 });
  const answer = await page.goto(base + path);
  if (answer.status() !== 200) report(path, 'status', answer.status());
  if (said.length) report(path, 'console', said);
  for (const width of [320, 640]) {
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) report(path, 'wider than ' + width, wide);
  }
  // By keyboard: the first stop leads past the navigation, and every stop can be seen.
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.keyboard.press('Tab');
  const first = await page.evaluate(() => document.activeElement.className);
  if (first !== 'skip') report(path, 'first stop', first);
  for (let stops = 0; stops < 200; stops += 1) {
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const style = getComputedStyle(element);
      return { seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, what: element.outerHTML.slice(0, 80) };
    });
    if (stop === null) break;
    if (!stop.seen) report(path, 'focus cannot be seen', stop.what);
    await page.keyboard.press('Tab');
  }
}
await strict.close();

const loose = await open(true);
const inspected = await loose.newPage();
await logIn(inspected);
for (const path of [...paths, '/login', '/nirgends']) {
  await inspected.goto(base + path);
  await inspected.evaluate(axe);
  const found = await inspected.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
  for (const violation of found.violations) {
    report(path, violation.id + ': ' + violation.help, violation.nodes.slice(0, 5).map((node) => node.html.slice(0, 200)));
  }
}
await loose.close();
for (const end of ['', '-axe']) rmSync(profile + end, { recursive: true, force: true });
console.log(JSON.stringify({ looked_at: paths.length + 2, bad }));
process.exit(bad ? 1 : 0);
