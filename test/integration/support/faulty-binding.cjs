// The real addon with one fault: after `globalThis.failEngines()` every engine of this thread reports that its device is
// gone, as the native side does when a step fails: each live sequence once, then the engine.
const real = require(require('node:path').resolve(__dirname, '../../../build/Release/infercept.node'));

const engines = new Set();
globalThis.failEngines = () => {
  for (const engine of engines) engine.fail();
};

const fault = { code: 'ERR_DEVICE', message: 'The device is gone.' };

class NativeEngine {
  constructor(spec, options, onBatch) {
    this.live = new Set();
    this.failed = false;
    this.onBatch = onBatch;
    this.inner = new real.NativeEngine(spec, options, (batch) => {
      // After the fault only answers and the end get through.
      if (this.failed) batch = { ...batch, events: batch.events.filter(({ type }) => type === 'dump' || type === 'stopped') };
      onBatch(batch);
    });
    engines.add(this);
  }

  report(events) {
    this.onBatch({ tokens: new Int32Array(), logprobs: new Float32Array(), events, steps: [] });
  }

  fail() {
    this.failed = true;
    const failures = [...this.live].map((seq) => ({ type: 'failure', seq, ...fault }));
    this.report([...failures, { type: 'failed', ...fault }]);
  }

  post(...commands) {
    for (const command of commands) {
      if (command.type === 'submit') this.live.add(command.seq);
      if (command.type === 'fork') this.live.add(command.child);
      if (command.type === 'release') this.live.delete(command.seq);
    }
    if (!this.failed) this.inner.post(...commands);
  }

  close() {
    engines.delete(this);
    this.inner.close();
  }

  stats = () => this.inner.stats();
  dump = (id, subject) => this.inner.dump(id, subject);
  stop = () => this.inner.stop();
  setReferenced = (referenced) => this.inner.setReferenced(referenced);
}

module.exports = { ...real, NativeEngine };
