import { StrictMode, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { client } from "./api/client";
import { session } from "./api/session";
import { App } from "./app";
import { SignIn } from "./sign-in";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/shell.css";
import "./styles/reservations.css";
import "./styles/broadcasts.css";

const root = document.getElementById("root");
if (!root) {
  throw new Error("dashboard.html has no #root");
}

function Root() {
  return useSyncExternalStore(session.subscribe, session.isRefused) ? <SignIn /> : <App />;
}

createRoot(root).render(
  <StrictMode>
    <Provider value={client}>
      <Root />
    </Provider>
  </StrictMode>,
);
