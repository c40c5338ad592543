import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { client } from "./api/client";
import { App } from "./app";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/shell.css";
import "./styles/reservations.css";
import "./styles/broadcasts.css";

const root = document.getElementById("root");
if (!root) {
  throw new Error("dashboard.html has no #root");
}

createRoot(root).render(
  <StrictMode>
    <Provider value={client}>
      <App />
    </Provider>
  </StrictMode>,
);
