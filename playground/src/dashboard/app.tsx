/** The frame around the pages: where one can go, how live it is, light or dark. */
import { lazy, type ReactNode, Suspense, useEffect } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import icon from "../icon.svg";
import { isSignedIn, signOut } from "./api/session";
import { ReservationsPage } from "./reservations/page";
import { themes, useTheme } from "./theme";
import { Button } from "./ui/controls";
import { Icon, type IconName } from "./ui/icon";
import { LiveState } from "./ui/live-state";
import { Empty, Loading } from "./ui/states";

const BroadcastsPage = lazy(() => import("./broadcasts/page"));
const ComposePage = lazy(() => import("./broadcasts/compose"));
const OperationsPage = lazy(() => import("./operations/page"));

export function App() {
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <Sidebar />
      <main id="main" className="main" tabIndex={-1}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/">
              <Titled title="Reservations">
                <ReservationsPage />
              </Titled>
            </Route>
            <Route path="/broadcasts/new">
              <Titled title="New broadcast">
                <ComposePage />
              </Titled>
            </Route>
            <Route path="/broadcasts/:id?">
              {({ id }) => (
                <Titled title="Broadcasts">
                  <BroadcastsPage id={id} />
                </Titled>
              )}
            </Route>
            <Route path="/operations">
              <Titled title="Operations">
                <OperationsPage />
              </Titled>
            </Route>
            <Route>
              <Empty title="There is no such page.">
                <Link href="/">To the reservations</Link>
              </Empty>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </div>
  );
}

function Titled({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Besty`;
  }, [title]);
  return children;
}

function Sidebar() {
  return (
    <header className="sidebar">
      <Link href="/" className="brand" aria-label="Besty, reservations">
        <img src={icon} alt="" width="22" height="22" />
        <span>Besty</span>
      </Link>
      <nav className="nav" aria-label="Pages">
        <NavLink href="/" icon="reservations">
          Reservations
        </NavLink>
        <NavLink href="/broadcasts" icon="broadcasts">
          Broadcasts
        </NavLink>
        <NavLink href="/operations" icon="operations">
          Operations
        </NavLink>
        <a className="nav-link" href="/playground">
          <Icon name="api" />
          <span>API</span>
        </a>
      </nav>
      <div className="sidebar-foot">
        <LiveState />
        {isSignedIn() && (
          <Button look="quiet" small onPress={signOut}>
            Sign out
          </Button>
        )}
        <ThemeSwitch />
      </div>
    </header>
  );
}

function NavLink({ href, icon: name, children }: { href: string; icon: IconName; children: ReactNode }) {
  const [location] = useLocation();
  const isHere = href === "/" ? location === "/" : location.startsWith(href);
  return (
    <Link href={href} className="nav-link" aria-current={isHere ? "page" : undefined}>
      <Icon name={name} />
      <span>{children}</span>
    </Link>
  );
}

const themeIcons = { system: "system", light: "sun", dark: "moon" } as const;

function ThemeSwitch() {
  const [theme, setTheme] = useTheme();
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? "system";
  return (
    <Button look="quiet" small aria-label={`Theme: ${theme}. Change to ${next}`} onPress={() => setTheme(next)}>
      <Icon name={themeIcons[theme]} />
    </Button>
  );
}
