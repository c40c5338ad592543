// A file of our own around the worker: only so does Vite's dev server bundle what it imports (some of it CommonJS).
import "monaco-graphql/esm/graphql.worker.js";
