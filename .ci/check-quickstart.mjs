// Reads the quickstart's output; its last line must be JSON that says what is promised.
import { text } from 'node:stream/consumers';

const output = await text(process.stdin);
console.log(output);
const report = JSON.parse(output.trimEnd().split('\n').at(-1));
const wrong = [];
if (report.agents !== 32) wrong.push(`${report.agents} agents instead of 32`);
if (report.answersRight < 30) wrong.push(`only ${report.answersRight} of 32 answers are right`);
for (const disposition of ['preserve', 'swap', 'discard']) {
  if (!(report.decisions[disposition] > 0)) wrong.push(`no decision to ${disposition}`);
}
for (const policy of ['infercept', 'discard-requeue']) {
  if (!(report.policies[policy]?.answersRight >= 30)) wrong.push(`${policy} is missing or wrong`);
}
if (wrong.length > 0) {
  console.error(`quickstart: ${wrong.join('; ')}`);
  process.exit(1);
}
