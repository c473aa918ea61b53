/** One tool: the model calls it, generation pauses in place, and goes on with what the tool returned. */
import { defineTool, Engine } from 'infercept';
import { z } from 'zod';

await using engine = await Engine.load('demo');

const calculator = defineTool({
  name: 'calculator',
  description: 'Evaluates an arithmetic expression.',
  parameters: z.object({ expression: z.string() }),
  expectedMs: 1,
  timeoutMs: 1000,
  async execute({ expression }, { callId }) {
    const [, left, operator, right] = /^(\d+) ([+*-]) (\d+)$/.exec(expression) ?? [];
    if (operator === undefined) throw new Error(`cannot evaluate ${expression}`);
    const [a, b] = [Number(left), Number(right)];
    const result = operator === '+' ? a + b : operator === '-' ? a - b : a * b;
    console.log(`  [${callId}] ${expression} = ${result}`);
    return String(result);
  },
});

const session = engine.session({ tools: [calculator] });
for (const question of ['What is 4821 * 77?', 'What is 406 + 994 and what is 501 + 871?']) {
  console.log(question);
  const { text, toolCalls, interceptions } = await session.send(question);
  console.log(`  ${text}`);
  const waited = interceptions.reduce((sum, { waitedMs }) => sum + waitedMs, 0);
  console.log(`  (${toolCalls.length} calls, ${interceptions.length} interceptions of ${waited.toFixed(1)} ms in all)`);
}
