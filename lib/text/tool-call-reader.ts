/** What a piece of text adds to a call. */
export interface ToolCallDelta {
  /** The tool's name, once, as soon as it is complete. */
  name?: string;
  /** What the piece adds to the JSON text of the arguments. Empty until the name is known. */
  argumentsText: string;
}

/** Follows a tool call while it is being written. It never fails: whether the call is valid is known at its end only. */
export interface ToolCallReader {
  push(text: string): ToolCallDelta;
}

/** Reads `{"name": …, "arguments": …}` piece by piece, wherever the pieces are cut. */
export function createJsonCallReader(argumentKeys: readonly string[]): ToolCallReader {
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
