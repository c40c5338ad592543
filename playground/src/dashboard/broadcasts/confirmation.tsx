/** The question before a broadcast: whom it reaches and with what. Without a filter, a second one asks for the number. */
import { useEffect, useState } from "react";
import { Button, Field } from "../ui/controls";
import { Question } from "../ui/dialog";
import { fullDay, moment, several, statusText } from "../ui/format";
import { type Filters, isEmpty } from "../reservations/filters";

interface Props {
  filters: Filters;
  message: string;
  startsAt: string | null;
  count: number;
  /** The number of guests was no longer the one that was confirmed. */
  changedTo: boolean;
  isSending: boolean;
  onSend: (expectedRecipients: number) => void;
  onClose: () => void;
}

export function Confirmation({ filters, message, startsAt, count, changedTo, isSending, onSend, onClose }: Props) {
  const everyone = isEmpty(filters);
  // The number that was read is the one that is sent: it must not change under the finger.
  const [shown, setShown] = useState(count);
  useEffect(() => {
    if (changedTo) {
      setShown(count);
    }
  }, [changedTo, count]);
  const [isSecond, setSecond] = useState(false);
  const [typed, setTyped] = useState("");
  const guests = several(shown, "guest");
  const when = startsAt ? `It starts ${moment(startsAt)}.` : "It starts at once.";
  const stale = changedTo && <p className="notice notice-warn">The number of guests has changed. Nothing was sent.</p>;

  if (isSecond) {
    return (
      <Question title={`Really to all ${guests}?`} onClose={onClose}>
        {stale}
        <p>No filter is set: this message goes to every guest there is. Type their number to go on.</p>
        <Field label={`Number of guests (${shown})`} value={typed} onChange={setTyped} />
        <div className="question-buttons">
          <Button onPress={onClose}>Back</Button>
          <Button look="danger" isDisabled={isSending || typed.trim() !== String(shown)} onPress={() => onSend(shown)}>
            Send to all {guests}
          </Button>
        </div>
      </Question>
    );
  }
  return (
    <Question title={everyone ? `Write to all ${guests}?` : `Write to ${guests}?`} onClose={onClose}>
      {stale}
      <p>
        {everyone ? "Every guest, as no filter is set." : `The guests of reservations ${inWords(filters)}.`} {when}
      </p>
      <p className="quote">{message}</p>
      <div className="question-buttons">
        <Button onPress={onClose}>Back</Button>
        {everyone ? (
          <Button look="primary" onPress={() => setSecond(true)}>
            Go on
          </Button>
        ) : (
          <Button look="primary" isDisabled={isSending} onPress={() => onSend(shown)}>
            Send to {guests}
          </Button>
        )}
      </div>
    </Question>
  );
}

function inWords({ status, property, guest, from, to, staying, q }: Filters): string {
  return [
    status.length > 0 && `that are ${status.map((one) => statusText[one].toLowerCase()).join(" or ")}`,
    property && `of property ${property}`,
    guest && `of guest ${guest}`,
    from && to && from === to && `with check-in on ${fullDay(from)}`,
    from && from !== to && `with check-in from ${fullDay(from)}`,
    to && from !== to && `with check-in until ${fullDay(to)}`,
    staying && `staying on ${fullDay(staying)}`,
    q && `that “${q}” is found in`,
  ]
    .filter(Boolean)
    .join(", ");
}
