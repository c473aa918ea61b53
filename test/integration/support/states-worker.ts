/** A worker thread in which every method is tried; posts the outcomes. */
import { parentPort, workerData } from 'node:worker_threads';
import { type State, tryState } from './states.js';

parentPort!.postMessage(await tryState(workerData as State));
