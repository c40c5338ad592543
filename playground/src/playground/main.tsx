import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import "graphiql/style.css";
import { ToolbarButton } from "@graphiql/react";
import { StrictMode, useMemo, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import "./page.css";
import { readOperation, writeOperation } from "./address";
import { examples } from "./examples";
import { fetcherOver, type Transport } from "./fetcher";
import { examplesPlugin } from "./plugin";
import { FROM_PLAYGROUND, isTaken, token } from "../token";
import "./workers";

const root = document.getElementById("root");
if (!root) {
  throw new Error("playground.html has no #root");
}

const shared = readOperation();
const plugins = [HISTORY_PLUGIN, examplesPlugin];

function Playground() {
  const [transport, setTransport] = useState<Transport>("WebSocket");
  const chosen = useRef(transport);
  chosen.current = transport;
  const fetcher = useMemo(() => fetcherOver(() => chosen.current), []);
  const other = transport === "SSE" ? "WebSocket" : "SSE";
  return (
    // The examples are for the first visit; after it GraphiQL opens the tabs as they were left. What the address
    // names comes before both.
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={shared ? [shared] : examples.slice(0, 4)}
      defaultEditorToolsVisibility="variables"
      plugins={plugins}
      initialQuery={shared?.query}
      initialVariables={shared?.variables}
      onTabChange={({ tabs, activeTabIndex }) => {
        const tab = tabs[activeTabIndex];
        writeOperation({ query: tab?.query ?? "", variables: tab?.variables ?? "" });
      }}
    >
      <GraphiQL.Logo>
        <a href="/" className="home">
          Besty
        </a>
      </GraphiQL.Logo>
      <GraphiQL.Toolbar>
        {({ prettify, merge, copy }) => (
          <>
            {prettify}
            {merge}
            {copy}
            <ToolbarButton
              label={`Subscriptions over ${transport}: change to ${other}`}
              onClick={() => setTransport(other)}
            >
              <span className="transport" aria-hidden="true">
                {transport === "SSE" ? "SSE" : "WS"}
              </span>
            </ToolbarButton>
          </>
        )}
      </GraphiQL.Toolbar>
    </GraphiQL>
  );
}

// Signing in is the dashboard's.
if ((await isTaken(token())) === true) {
  createRoot(root).render(
    <StrictMode>
      <Playground />
    </StrictMode>,
  );
} else {
  window.location.replace(`/${FROM_PLAYGROUND}`);
}
