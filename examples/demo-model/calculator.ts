/**
 * Evaluates an arithmetic expression: numbers, `+ - * / ^`, parentheses and signs. Never runs code.
 *
 * @returns The value in decimal digits, rounded to 12 significant ones.
 * @throws Error, naming the column, if the expression is not one.
 */
export function evaluateExpression(expression: string): string {
  const parser = new ExpressionParser(expression);
  const value = parser.parse();
  if (!Number.isFinite(value)) throw new Error(`'${expression}' has no finite value`);
  return String(Number(value.toPrecision(12)));
}

/** Recursive descent, one method for each level of precedence. */
class ExpressionParser {
  private position = 0;

  constructor(private readonly text: string) {}

  parse(): number {
    const value = this.sum();
    if (this.peek() !== '') this.fail();
    return value;
  }

  private sum(): number {
    let value = this.product();
    for (let sign = this.accept('+-'); sign !== ''; sign = this.accept('+-')) {
      const right = this.product();
      value = sign === '+' ? value + right : value - right;
    }
    return value;
  }

  private product(): number {
    let value = this.signed();
    for (let sign = this.accept('*/'); sign !== ''; sign = this.accept('*/')) {
      const right = this.signed();
      value = sign === '*' ? value * right : value / right;
    }
    return value;
  }

  private signed(): number {
    const sign = this.accept('+-');
    if (sign === '') return this.power();
    return sign === '-' ? -this.signed() : this.signed();
  }

  private power(): number {
    const base = this.atom();
    return this.accept('^') === '' ? base : base ** this.signed();
  }

  private atom(): number {
    if (this.accept('(') !== '') {
      const value = this.sum();
      if (this.accept(')') === '') this.fail();
      return value;
    }
    this.peek();
    const digits = /^(\d+\.?\d*|\.\d+)/.exec(this.text.slice(this.position));
    if (digits === null) return this.fail();
    this.position += digits[0].length;
    return Number(digits[0]);
  }

  /** The next character that is no space, or '' at the end. */
  private peek(): string {
    while (this.text[this.position] === ' ') this.position++;
    return this.text[this.position] ?? '';
  }

  private accept(characters: string): string {
    const next = this.peek();
    if (next === '' || !characters.includes(next)) return '';
    this.position++;
    return next;
  }

  private fail(): never {
    throw new Error(`'${this.text}' is not an arithmetic expression (column ${this.position + 1})`);
  }
}
