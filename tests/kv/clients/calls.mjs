// Calls of a client whose results are compared with what Redis returns.

import { isDeepStrictEqual, inspect } from "node:util";

const failed = [];

/** Makes a call. `want` is its result, or a function that says whether the result is right. */
export async function call(name, want, make) {
  try {
    const got = await make();
    const isRight = typeof want === "function" ? want(got) : isDeepStrictEqual(got, want);
    if (!isRight) failed.push(`${name}: ${inspect(got)}, not ${inspect(want)}`);
  } catch (error) {
    failed.push(`${name}: ${error}`);
  }
}

/** Prints the calls that failed, or ok, and exits. */
export function end() {
  console.log(failed.join("\n") || "ok");
  process.exit(failed.length ? 1 : 0);
}

/** The error's message. */
export async function errorOf(promise) {
  try {
    return `no error: ${await promise}`;
  } catch (error) {
    return error.message;
  }
}
