/**
 * A person in the loop, twice: the gap between two messages is an interception of kind `human`, and a tool that needs
 * approval waits for somebody to say yes. Answers come from a script here, so that it ends by itself.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { defineTool, Engine, formatExplanation } from 'infercept';

await using engine = await Engine.load('demo');
engine.on('interception-decision', ({ kind, disposition, waste }) => {
  console.log(`  [${kind}: ${disposition}; preserving it would waste ${waste.preserve.toExponential(1)} byte-seconds]`);
});

const draw = defineTool({
  name: 'draw',
  description: 'Draws a picture.',
  parameters: { type: 'object', properties: { prompt: { type: 'string' } }, required: ['prompt'] },
  needsApproval: true,
  async execute() {
    await wait(300);
    return 'Saved as drawing-1234.svg.';
  },
});

const talk = engine.session();
for (const message of ['Should I take the coffee or the soup?', 'I prefer the coffee.']) {
  console.log(`> ${message}`);
  console.log((await talk.send(message)).text);
  await wait(200); // The person reads and types.
}

const artist = engine.session({
  tools: [draw],
  approve: async ({ toolName, input }) => {
    console.log(`  ${toolName}(${JSON.stringify(input)})? The person thinks ... yes.`);
    await wait(200);
    return true;
  },
});
console.log('> Draw a red circle.');
console.log((await artist.send('Draw a red circle.')).text);

console.log('\nWhy the contexts were where they were meanwhile:');
for (const session of [talk, artist]) console.log(formatExplanation(session.explain()));
