/** The filters of a set of reservations. What is typed counts when one pauses, what is chosen at once. */
import { memo, useEffect, useRef, useState } from "react";
import { Input, SearchField, ToggleButton, ToggleButtonGroup } from "react-aria-components";
import type { ReservationStatus } from "../../generated/documents";
import { Button, Field } from "../ui/controls";
import { statusText } from "../ui/format";
import { Icon } from "../ui/icon";
import { countOf, type Filters, none, statuses } from "./filters";

const PAUSE = 250;

interface Props {
  filters: Filters;
  onChange: (filters: Filters) => void;
}

export const FilterBar = memo(({ filters, onChange }: Props) => {
  const [isOpen, setOpen] = useState(false);
  const [draft, setDraft] = useDraft(filters, onChange);
  const set = (part: Partial<Filters>, typed = false) => setDraft({ ...draft, ...part }, typed);
  const count = countOf({ ...draft, q: "", status: [] });
  return (
    <search className="filters" aria-label="Filter">
      <div className="filters-line">
        <SearchField
          className="search"
          aria-label="Search"
          value={draft.q}
          onChange={(q) => set({ q }, true)}
          onClear={() => set({ q: "" })}
        >
          <Icon name="search" />
          <Input className="input" placeholder="Name, email, phone, ID" />
        </SearchField>
        <ToggleButtonGroup
          className="chips"
          aria-label="Status"
          selectionMode="multiple"
          selectedKeys={draft.status}
          onSelectionChange={(keys) => set({ status: statuses.filter((status) => keys.has(status)) })}
        >
          {statuses.map((status: ReservationStatus) => (
            <ToggleButton key={status} id={status} className={`chip status-${status.toLowerCase()}`}>
              {statusText[status]}
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
        <span className="filters-toggle">
          <Button aria-expanded={isOpen} onPress={() => setOpen(!isOpen)}>
            <Icon name="filter" />
            {count > 0 ? `Filters (${count})` : "Filters"}
          </Button>
        </span>
        {countOf(draft) > 0 && (
          <Button look="quiet" onPress={() => setDraft(none)}>
            Clear
          </Button>
        )}
      </div>
      <div className="filters-more" data-open={isOpen}>
        <Field label="Property" value={draft.property} onChange={(property) => set({ property }, true)} placeholder="Any" />
        <Field label="Guest" value={draft.guest} onChange={(guest) => set({ guest }, true)} placeholder="Any" />
        <Field label="Check-in from" type="date" value={draft.from} onChange={(from) => set({ from })} />
        <Field label="Check-in to" type="date" value={draft.to} onChange={(to) => set({ to })} />
        <Field label="Staying on" type="date" value={draft.staying} onChange={(staying) => set({ staying })} />
      </div>
    </search>
  );
});

/** What is being typed, ahead of what counts. A change from outside, as by "back", replaces it. */
function useDraft(filters: Filters, onChange: (filters: Filters) => void) {
  const [draft, setDraft] = useState(filters);
  const sent = useRef(filters);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    if (JSON.stringify(sent.current) !== JSON.stringify(filters)) {
      clearTimeout(timer.current);
      sent.current = filters;
      setDraft(filters);
    }
  }, [filters]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const set = (changed: Filters, typed = false) => {
    setDraft(changed);
    clearTimeout(timer.current);
    const send = () => {
      sent.current = changed;
      onChange(changed);
    };
    if (typed) {
      timer.current = setTimeout(send, PAUSE);
    } else {
      send();
    }
  };
  return [draft, set] as const;
}
