const SAMPLES_PER_SECOND = 16_000;

/** First two resonances of the mouth for each vowel, in hertz. */
const VOWELS: Record<string, [first: number, second: number]> = {
  a: [800, 1200],
  e: [500, 1900],
  i: [300, 2300],
  o: [450, 850],
  u: [325, 700],
};

/** Speaks a text as a robot of the sixties would: a WAV file, 16 kHz, mono, 16 bits. */
export function speakText(text: string): Buffer {
  const sounds = [...text.toLowerCase()].map((letter, index) => sound(letter, index));
  const samples = sounds.reduce((sum, part) => sum + part.length, 0);
  const file = Buffer.alloc(44 + 2 * samples);
  writeHeader(file, 2 * samples);
  let offset = 44;
  for (const part of sounds) {
    for (const value of part) offset = file.writeInt16LE(Math.round(value * 30_000), offset);
  }
  return file;
}

/** The samples of one letter, in -1..1: a vowel, a consonant of noise, or silence. */
function sound(letter: string, index: number): Float32Array {
  const vowel = VOWELS[letter];
  if (vowel !== undefined) return vowelSound(vowel, 110 + 12 * Math.sin(index / 3));
  if (/\p{L}|\p{N}/u.test(letter)) return noise(letter.codePointAt(0)!);
  return new Float32Array(duration(letter === ' ' ? 0.06 : 0.15));
}

function vowelSound([first, second]: [number, number], pitch: number): Float32Array {
  return fade(duration(0.11), (t) => {
    const voice = 0.5 + 0.5 * Math.sin(2 * Math.PI * pitch * t);
    return voice * (0.5 * Math.sin(2 * Math.PI * first * t) + 0.3 * Math.sin(2 * Math.PI * second * t));
  });
}

function noise(seed: number): Float32Array {
  let state = seed;
  return fade(duration(0.05), (t) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return 0.25 * (state / 0x40000000 - 1) * (0.6 + 0.4 * Math.sin(2 * Math.PI * 20 * (seed % 90) * t));
  });
}

/** Computes samples from their time in seconds, rising from and falling to silence. */
function fade(length: number, at: (seconds: number) => number): Float32Array {
  return Float32Array.from({ length }, (_, i) => at(i / SAMPLES_PER_SECOND) * Math.sin((Math.PI * i) / length));
}

function duration(seconds: number): number {
  return Math.round(seconds * SAMPLES_PER_SECOND);
}

/** The 44 bytes of RIFF header before `bytes` bytes of samples. */
function writeHeader(file: Buffer, bytes: number): void {
  file.write('RIFF', 0, 'ascii');
  file.writeUInt32LE(36 + bytes, 4);
  file.write('WAVEfmt ', 8, 'ascii');
  file.writeUInt32LE(16, 16); // Length of the format chunk.
  file.writeUInt16LE(1, 20); // Plain integers.
  file.writeUInt16LE(1, 22); // Channels.
  file.writeUInt32LE(SAMPLES_PER_SECOND, 24);
  file.writeUInt32LE(2 * SAMPLES_PER_SECOND, 28);
  file.writeUInt16LE(2, 32); // Bytes per sample over all channels.
  file.writeUInt16LE(16, 34);
  file.write('data', 36, 'ascii');
  file.writeUInt32LE(bytes, 40);
}
