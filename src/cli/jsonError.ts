/**
 * Where a text stops being JSON. Node's own message shows a piece of the text, which may be a secret,
 * and does not always say where it is.
 */

export interface JsonPlace {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

// RFC 8259, sections 7 and 6; each is tried at one place.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\r\n]*/y;

/** Where the first thing stands that JSON does not allow there; the end of the text, where that is too early. */
export function findJsonError(text: string): JsonPlace {
  const { at, ok } = readValue(text, skip(SPACE, text, 0));
  const before = text.slice(0, ok ? skip(SPACE, text, at) : at).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

interface Reached {
  readonly at: number;
  readonly ok: boolean;
}

function readValue(text: string, at: number): Reached {
  const open = text[at];
  if (open === "{" || open === "[") return readMembers(text, at + 1, open);
  const end = skip(open === '"' ? STRING : SCALAR, text, at);
  return { at: end, ok: end > at };
}

/** The members of an object or a list, after its bracket. */
function readMembers(text: string, start: number, open: "{" | "["): Reached {
  const close = open === "{" ? "}" : "]";
  let at = skip(SPACE, text, start);
  if (text[at] === close) return { at: at + 1, ok: true };
  for (;;) {
    if (open === "{") {
      const nameEnd = skip(STRING, text, at);
      const colon = skip(SPACE, text, nameEnd);
      if (nameEnd === at || text[colon] !== ":") return { at: colon, ok: false };
      at = skip(SPACE, text, colon + 1);
    }
    const value = readValue(text, at);
    if (!value.ok) return value;
    at = skip(SPACE, text, value.at);
    if (text[at] === close) return { at: at + 1, ok: true };
    if (text[at] !== ",") return { at, ok: false };
    at = skip(SPACE, text, at + 1);
  }
}

/** The index after what the pattern takes at a place; the place itself where it takes nothing. */
function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}
