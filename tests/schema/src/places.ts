/** Where things are, seen from what is built of this. */
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("../../../../../../../", import.meta.url));
/** This project. */
export const project = `${root}tests/schema/`;
