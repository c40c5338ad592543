/** What there is to see for whoever the server does not let in: a place for a token. */
import { type FormEvent, useState } from "react";
import icon from "../icon.svg";
import { FROM_PLAYGROUND, forgetToken, isTaken, keepToken, token } from "../token";
import { Button, Field } from "./ui/controls";

export function SignIn() {
  // A token that was good once and is not any more: its end is said, not the beginning.
  const [problem, setProblem] = useState<string | null>(token() ? "Your token is not valid any more." : null);
  const [value, setValue] = useState("");
  const [isBusy, setBusy] = useState(false);

  function change(text: string) {
    setValue(text);
    // A field with a problem keeps its form from being sent.
    setProblem(null);
  }

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    try {
      const answer = await isTaken(value.trim());
      if (answer === true) {
        keepToken(value.trim());
        // Everything begins anew, with the token.
        window.location.assign(window.location.search === FROM_PLAYGROUND ? "/playground" : window.location.href);
        return;
      }
      forgetToken();
      setProblem(answer);
    } catch {
      setProblem("The server can't be reached.");
    }
    setBusy(false);
  }

  return (
    <main className="sign-in">
      <form className="sign-in-card" onSubmit={submit}>
        <h1 className="sign-in-title">
          <img src={icon} alt="" width="22" height="22" />
          <span>Sign in to Besty</span>
        </h1>
        <Field
          label="Token"
          type="password"
          value={value}
          onChange={change}
          hint="It is kept until this tab is closed."
          error={problem}
        />
        <Button look="primary" type="submit" isDisabled={isBusy || value.trim() === ""}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
