/** What a piece of text adds to a call. */
export interface ToolCallDelta {
  /** The tool's name, once, as soon as it is complete: another call begins. */
  name?: string;
  /** What the piece adds to the JSON text of the arguments. Empty until the name is known. */
  argumentsText: string;
}

/** Follows tool calls while they are being written. It never fails: whether a call is valid is known at its end only. */
export interface ToolCallReader {
  push(text: string): ToolCallDelta[];
}

/** Reads `{"name": …, "arguments": …}`, or several of them in a list, piece by piece, wherever the pieces are cut. */
export function createJsonCallReader(argumentKeys: readonly string[]): ToolCallReader {
  const scanner = createScanner();
  let call = createOneCallReader(argumentKeys);
  return {
    push(text) {
      const deltas: ToolCallDelta[] = [];
      let piece = '';
      const flush = (): void => {
        const delta = call.push(piece);
        if (delta.name !== undefined || delta.argumentsText !== '') deltas.push(delta);
        piece = '';
      };
      for (const character of text) {
        const place = scanner.push(character);
        if (place === 'outside') continue;
        piece += character;
        if (place === 'inside') continue;
        flush();
        call = createOneCallReader(argumentKeys);
      }
      if (piece !== '') flush();
      return deltas;
    },
  };
}

/** Reads a name that a pattern finds before the arguments, an object of JSON; then, maybe, the next. */
export function createHeadedReader(head: RegExp): ToolCallReader {
  let begun = '';
  let scanner: ReturnType<typeof createScanner> | undefined;

  /** What the characters, which follow a head, add to the arguments. */
  function follow(characters: string): string {
    let inside = '';
    for (const character of characters) {
      const place = scanner?.push(character);
      if (place !== 'outside') inside += character;
      if (place === 'end') scanner = undefined;
    }
    return inside;
  }

  function push(character: string): ToolCallDelta {
    if (scanner !== undefined) return { argumentsText: follow(character) };
    begun += character;
    const match = head.exec(begun);
    if (match === null) return { argumentsText: '' };
    const rest = begun.slice(match[0].length);
    begun = '';
    scanner = createScanner();
    return { name: match[1]!, argumentsText: follow(rest) };
  }

  return {
    push(text) {
      const deltas: ToolCallDelta[] = [];
      for (const character of text) {
        const delta = push(character);
        const last = deltas.at(-1);
        if (delta.name === undefined && last !== undefined) last.argumentsText += delta.argumentsText;
        else if (delta.name !== undefined || delta.argumentsText !== '') deltas.push(delta);
      }
      return deltas;
    },
  };
}

/** Says of each character whether it is inside an object of JSON; `end` is the last one of an object. */
function createScanner() {
  let depth = 0;
  let inString = false;
  let escaped = false;
  return {
    push(character: string): 'outside' | 'inside' | 'end' {
      if (inString) {
        if (escaped) escaped = false;
        else if (character === '\\') escaped = true;
        else if (character === '"') inString = false;
        return 'inside';
      }
      if (depth === 0 && character !== '{') return 'outside';
      if (character === '"') inString = true;
      else if (character === '{') depth++;
      else if (character === '}' && --depth === 0) return 'end';
      return 'inside';
    },
  };
}

interface OneCallReader {
  push(text: string): ToolCallDelta;
}

function createOneCallReader(argumentKeys: readonly string[]): OneCallReader {
  /** Open brackets; the call's own entries are at depth 1. */
  let depth = 0;
  let inString = false;
  let escaped = false;
  /** The string at depth 1 that is being read, with its quotes. */
  let string = '';
  /** The entry that is being read, from its key on; `inValue` from its colon on. */
  let key = '';
  let inValue = false;
  let name: string | undefined;
  let argumentsText = '';

  const inArguments = (): boolean => inValue && argumentKeys.includes(key);

  function endString(): void {
    const value = parseString(string);
    if (!inValue) key = value;
    else if (key === 'name') name = value;
  }

  function pushInString(character: string): void {
    if (inArguments()) argumentsText += character;
    else if (depth === 1) string += character;
    if (escaped) escaped = false;
    else if (character === '\\') escaped = true;
    else if (character === '"') {
      inString = false;
      if (depth === 1 && !inArguments()) endString();
    }
  }

  /** Brackets, colons and commas of the call itself. Returns whether the character is part of a value. */
  function pushStructure(character: string): boolean {
    switch (character) {
      case '{':
      case '[':
        depth++;
        return depth > 1;
      case '}':
      case ']':
        depth--;
        return depth > 0;
      case ':':
        if (depth !== 1 || inValue) return true;
        inValue = true;
        return false;
      case ',':
        if (depth !== 1) return true;
        inValue = false;
        key = '';
        return false;
      default:
        return depth > 1 || /\S/.test(character);
    }
  }

  function push(character: string): void {
    if (inString) {
      pushInString(character);
    } else if (character === '"') {
      inString = true;
      if (inArguments()) argumentsText += character;
      else if (depth === 1) string = character;
    } else if (pushStructure(character) && inArguments()) {
      argumentsText += character;
    }
  }

  let known = false;
  return {
    push(text) {
      for (const character of text) push(character);
      if (name === undefined) return { argumentsText: '' };
      const delta: ToolCallDelta = { ...(!known && { name }), argumentsText };
      known = true;
      argumentsText = '';
      return delta;
    },
  };
}

function parseString(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text.slice(1, -1);
  }
}
