/**
 * The primitive under tools: any text or run of tokens as a trigger, any function as a hook. Here the engine stops inside
 * the model's JSON: from `"expression": "` on it watches, pauses exactly at the closing quote, and goes on with whatever
 * the hook returns (here: nothing).
 */
import { Engine } from 'infercept';

await using engine = await Engine.load('demo');

const run = engine.generate({
  messages: [
    { role: 'system', content: 'You are a helpful assistant.\nTools:\ncalculator(expression)' },
    { role: 'user', content: 'What is 4821 * 77?' },
  ],
  maxTokens: 80,
  interceptors: [
    {
      kind: 'math',
      trigger: { text: '"expression": "' },
      until: '"',
      onIntercept: async ({ text, eta }) => {
        eta(5);
        console.log(`\n[the model wants to know ${text}]`);
        return '';
      },
    },
  ],
});

for await (const part of run) {
  if (part.type === 'text-delta') process.stdout.write(part.text);
  if (part.type === 'interception-start') process.stdout.write(` <${part.kind}> `);
}
const { interceptions } = await run;
console.log(`\n${interceptions.length} interception of ${interceptions[0]?.waitedMs.toFixed(1)} ms`);
