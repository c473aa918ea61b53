/**
 * The shape of a call's arguments: a short key from which it can be learnt how long such calls take. It tells which of the
 * schema's properties are given, booleans and members of an enum by value, and sizes and numbers in classes that double;
 * nothing of a text, an array or an object but its size. `{ query: 'red wine', depth: 3 }` is `depth=3,query=text4`.
 */
import type { JsonSchema } from './json-schema.js';

/** Properties that count, in the order of their names, and characters of each name. More would make every call a shape of its own. */
const propertiesMax = 8;
const nameCharactersMax = 32;
/** Larger enums are data; their members are texts like others. */
const enumValuesMax = 16;
/** Whole numbers up to here count by themselves: depths, pages, retries. */
const ownNumbersMax = 4;

type Properties = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Properties {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The greatest power of `base` (itself a power of two) that is not above `value`. REQUIRES: value > 0. */
function floorPower(value: number, base: number): number {
  return base ** Math.floor(Math.log2(value) / Math.log2(base));
}

function numberClass(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) <= ownNumbersMax) return String(value);
  const magnitude = Math.min(Math.max(Math.abs(value), 2 ** -10), 2 ** 40);
  return `${value < 0 ? '-' : ''}${floorPower(magnitude, 2)}+`;
}

const sizeClass = (size: number, base: number): number => (size === 0 ? 0 : floorPower(size, base));

/** The member's place in its enum; -1: there is none. */
function enumPlace(value: unknown, schema: unknown): number {
  const values = isObject(schema) ? schema.enum : undefined;
  return Array.isArray(values) && values.length <= enumValuesMax ? values.indexOf(value) : -1;
}

function valueClass(value: unknown, schema: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  const place = enumPlace(value, schema);
  if (place >= 0) return `#${place}`;
  if (typeof value === 'number') return numberClass(value);
  // Lengths of texts say little, those of lists more.
  if (typeof value === 'string') return `text${sizeClass(value.length, 4)}`;
  if (Array.isArray(value)) return `list${sizeClass(value.length, 2)}`;
  return isObject(value) ? `object${sizeClass(Object.keys(value).length, 2)}` : typeof value;
}

/** Properties that the schema does not name may be named by what was said, so they are only counted. */
export function argumentShape(input: unknown, schema: JsonSchema): string {
  if (!isObject(input)) return valueClass(input, schema);
  const known = isObject(schema.properties) ? schema.properties : {};
  const given = Object.keys(input).filter((name) => input[name] !== undefined);
  const named = given.filter((name) => Object.hasOwn(known, name)).sort();
  const classes = named
    .slice(0, propertiesMax)
    .map((name) => `${name.slice(0, nameCharactersMax)}=${valueClass(input[name], known[name])}`);
  const others = given.length - classes.length;
  return [...classes, ...(others > 0 ? [`+${sizeClass(others, 2)}`] : [])].join(',');
}
