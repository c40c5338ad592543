/**
 * A new broadcast: to whom, what, when. How many it reaches is counted as one writes; it is sent only after a question
 * that says so, and after a second one when no filter is set. What was typed survives a reload.
 */
import { useMemo, useState } from "react";
import { Label, Radio, RadioGroup, TextArea, TextField } from "react-aria-components";
import { Link, useLocation, useSearchParams } from "wouter";
import type { UncertainPolicy } from "../../generated/documents";
import { FilterBar } from "../reservations/filter-bar";
import { isEmpty, readFilters, toFilter, writeFilters } from "../reservations/filters";
import { Button, Field } from "../ui/controls";
import { number, several } from "../ui/format";
import { Problem } from "../ui/states";
import { Confirmation } from "./confirmation";
import { useDraft } from "./draft";
import { useReach } from "./reach";
import { useSend } from "./send";

const LONGEST = 2_000;

export default function ComposePage() {
  const [address, setAddress] = useSearchParams();
  const [, goTo] = useLocation();
  const text = writeFilters(new URLSearchParams(), readFilters(address)).toString();
  const filters = useMemo(() => readFilters(new URLSearchParams(text)), [text]);
  const { draft, change, clear } = useDraft();
  const reach = useReach(filters);
  const send = useSend((id) => {
    clear();
    goTo(`/broadcasts/${id}`);
  });
  const [isAsking, setAsking] = useState(false);
  const length = [...draft.message].length;
  const startsAt = draft.startsAt ? new Date(draft.startsAt).toISOString() : null;
  const isReady = draft.message.trim() !== "" && length <= LONGEST && (reach.count ?? 0) > 0;

  const confirm = async (expectedRecipients: number) => {
    const { message, onUncertain } = draft;
    const input = { message, filter: toFilter(filters), expectedRecipients, startsAt, onUncertain };
    const result = await send.run(input);
    if (result !== "sent") {
      reach.again();
    }
    if (result === "refused") {
      setAsking(false);
    }
  };

  return (
    <div className="page">
      <div className="page-head">
        <h1>New broadcast</h1>
        <Link className="button" href={`/${text && `?${text}`}`}>
          See the reservations
        </Link>
      </div>
      <section className="card" aria-label="To whom">
        <h2>To the guests of</h2>
        <FilterBar
          filters={filters}
          onChange={(changed) => setAddress((before) => writeFilters(before, changed), { replace: true })}
        />
        {reach.problem ? (
          <Problem onRetry={reach.again}>{reach.problem}</Problem>
        ) : (
          <p className="reach" role="status">
            <strong data-testid="reach">{reach.count === undefined ? "…" : number(reach.count)}</strong>
            <span className="faint">
              {reach.count === 0
                ? "No guest: the filter selects no reservation."
                : `${reach.count === 1 ? "guest" : "guests"}${isEmpty(filters) ? ": all, as no filter is set" : ""}. One message each, however many reservations match.`}
            </span>
          </p>
        )}
      </section>
      <section className="card" aria-label="What and when">
        <TextField
          className="field"
          value={draft.message}
          onChange={(message) => change({ message })}
          isInvalid={length > LONGEST}
        >
          <div className="spread">
            <Label className="label">Message</Label>
            <span className={length > LONGEST ? "field-error" : "hint"}>
              {number(length)} of {number(LONGEST)}
            </span>
          </div>
          <TextArea className="input" rows={6} placeholder="Check-in opens at 15:00. See you soon!" />
        </TextField>
        <Field
          label="Start at (left out: at once)"
          type="datetime-local"
          value={draft.startsAt}
          onChange={(value) => change({ startsAt: value })}
        />
        <RadioGroup
          className="radios"
          value={draft.onUncertain}
          onChange={(value) => change({ onUncertain: value as UncertainPolicy })}
        >
          <Label className="label">When a message left and no answer came back</Label>
          <Radio value="RESEND" className="radio">
            Send it again: nobody is missed, and somebody may get it twice
          </Radio>
          <Radio value="HOLD" className="radio">
            Leave it for a person to decide: nobody gets it twice
          </Radio>
        </RadioGroup>
        {send.problem && <Problem>{send.problem}</Problem>}
        <div className="buttons">
          <Button look="primary" isDisabled={!isReady} onPress={() => setAsking(true)}>
            {reach.count ? `Review and send to ${several(reach.count, "guest")}` : "Review and send"}
          </Button>
        </div>
      </section>
      {isAsking && reach.count !== undefined && (
        <Confirmation
          filters={filters}
          message={draft.message}
          startsAt={startsAt}
          count={reach.count}
          changedTo={send.changedTo}
          isSending={send.isSending}
          onSend={confirm}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}
