/** The side panel with the examples: each opens in the present tab. */
import { type GraphiQLPlugin, useGraphiQL } from "@graphiql/react";
import { examples } from "./examples";

export const examplesPlugin: GraphiQLPlugin = { title: "Examples", icon: ExamplesIcon, content: Examples };

function ExamplesIcon() {
  return (
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.2" aria-hidden="true">
      <path d="M3 2.5h7l3 3v8H3zM10 2.5v3h3M5.5 8h5M5.5 10.5h5" />
    </svg>
  );
}

function Examples() {
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const variableEditor = useGraphiQL((state) => state.variableEditor);
  return (
    <section className="examples">
      <h2>Examples</h2>
      <ul>
        {examples.map(({ name, query, variables }) => (
          <li key={name}>
            <button
              type="button"
              onClick={() => {
                queryEditor?.setValue(query);
                variableEditor?.setValue(variables ?? "");
              }}
            >
              {name}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
