/** The order of the list, to be chosen where there is no room for the heads of columns. */
import { Button } from "../ui/controls";
import { Icon } from "../ui/icon";
import { type Sort, type SortColumn, sortable } from "./filters";

const words: Record<SortColumn, string> = {
  updatedAt: "Last change",
  createdAt: "First seen",
  checkIn: "Check-in",
  checkOut: "Check-out",
  total: "Total",
};

interface Props {
  sort: Sort;
  onSort: (sort: Sort) => void;
}

export function SortChoice({ sort, onSort }: Props) {
  const other = sort.descending ? "ascending" : "descending";
  return (
    <div className="sort-choice">
      <label className="label" htmlFor="sort-by">
        Sort by
      </label>
      <select
        id="sort-by"
        className="input"
        value={sort.column}
        onChange={(event) => onSort({ ...sort, column: event.target.value as SortColumn })}
      >
        {Object.keys(sortable).map((column) => (
          <option key={column} value={column}>
            {words[column as SortColumn]}
          </option>
        ))}
      </select>
      <Button
        aria-label={`${sort.descending ? "Descending" : "Ascending"}. Change to ${other}`}
        onPress={() => onSort({ ...sort, descending: !sort.descending })}
      >
        <Icon name={sort.descending ? "down" : "up"} />
      </Button>
    </div>
  );
}
