import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./page.css";
import { examples } from "./examples";
import { fetcher } from "./fetcher";
import "./workers";

const root = document.getElementById("root");
if (!root) {
  throw new Error("playground.html has no #root");
}

createRoot(root).render(
  <StrictMode>
    {/* The examples are for the first visit; after it GraphiQL opens the tabs as they were left. */}
    <GraphiQL fetcher={fetcher} defaultTabs={examples} defaultEditorToolsVisibility="variables">
      <GraphiQL.Logo>Besty</GraphiQL.Logo>
    </GraphiQL>
  </StrictMode>,
);
