/** Plain generation: a prompt, a stream of text, and what it took. */
import { Engine } from 'infercept';

await using engine = await Engine.load('demo', {
  onProgress: ({ phase, loadedBytes, totalBytes }) => {
    if (totalBytes > 0 && loadedBytes === totalBytes) console.log(`${phase}: ${(totalBytes / 2 ** 20).toFixed(1)} MiB`);
  },
});

// A chat, without tools: the model's own template renders it.
const run = engine.generate({
  messages: [{ role: 'user', content: 'Should I take the tea or the soup?' }],
  maxTokens: 60,
});
for await (const part of run) {
  if (part.type === 'text-delta') process.stdout.write(part.text);
}
const { finishReason, usage, timings } = await run;
console.log(
  `\n${usage.promptTokens} prompt tokens, ${usage.completionTokens} sampled, first after ` +
    `${timings.firstTokenMs.toFixed(1)} ms, all after ${timings.totalMs.toFixed(1)} ms (${finishReason})`,
);

// The same with sampling: a seed makes it repeatable.
const sampled = await engine.generate({
  messages: [{ role: 'user', content: 'Should I take the tea or the soup?' }],
  maxTokens: 60,
  sampling: { temperature: 0.8, topP: 0.95, seed: 7 },
});
console.log(sampled.text);
