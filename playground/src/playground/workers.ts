import type { Environment } from "monaco-editor";
import EditorWorker from "monaco-editor/esm/vs/editor/editor.worker.js?worker";
import JsonWorker from "monaco-editor/esm/vs/language/json/json.worker.js?worker";
import GraphQLWorker from "./graphql.worker?worker";

// Monaco asks here for each worker; without an answer it would run them on the main thread.
// `graphiql/setup-workers/vite` does the same, but Vite's dev server cannot load it from node_modules.
// package.json holds monaco-editor at the version that @graphiql/react asks for: workers of another would not fit.
const environment: Environment = {
  getWorker(_workerId, label) {
    switch (label) {
      case "json":
        return new JsonWorker();
      case "graphql":
        return new GraphQLWorker();
      default:
        return new EditorWorker();
    }
  },
};

window.MonacoEnvironment = environment;
