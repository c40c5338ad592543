/** Arrivals a day, as bars. A bar filters by its day. */
import { fullDay, number, several, weekday } from "../ui/format";
import type { Arrival } from "./figures";

const WIDTH = 20;
const GAP = 4;
const HEIGHT = 44;

interface Props {
  arrivals: readonly Arrival[];
  onDay: (day: string) => void;
}

export function Arrivals({ arrivals, onDay }: Props) {
  const most = Math.max(1, ...arrivals.map(({ count }) => count));
  return (
    <div className="arrivals">
      {arrivals.map(({ day, count }, ahead) => {
        const height = count === 0 ? 1 : Math.max(3, (count / most) * HEIGHT);
        return (
          <button
            key={day}
            type="button"
            className="arrival"
            title={`${fullDay(day)}: ${several(count, "arrival")}`}
            aria-label={`${fullDay(day)}: ${several(count, "arrival")}. Show them`}
            onClick={() => onDay(day)}
          >
            <span className="arrival-count">{number(count)}</span>
            <svg viewBox={`0 0 ${WIDTH + GAP} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
              <rect x={GAP / 2} y={HEIGHT - height} width={WIDTH} height={height} rx="2" />
            </svg>
            <span className="arrival-day">{ahead === 0 ? "today" : weekday(day)}</span>
            <span className="arrival-date">{Number(day.slice(8))}</span>
          </button>
        );
      })}
    </div>
  );
}
