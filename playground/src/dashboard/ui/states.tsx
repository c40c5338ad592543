/** What stands in place of content: nothing there, not there yet, not to be had; and the status of a thing. */
import type { ReactNode } from "react";
import { Button } from "./controls";
import { statusText } from "./format";

interface EmptyProps {
  title: string;
  children?: ReactNode;
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

interface ProblemProps {
  children: ReactNode;
  onRetry?: () => void;
}

export function Problem({ children, onRetry }: ProblemProps) {
  return (
    <div className="notice notice-bad" role="alert">
      <span className="notice-text">{children}</span>
      {onRetry && (
        <Button small onPress={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function Loading({ lines = 6 }: { lines?: number }) {
  return (
    <div className="loading" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className="bone" />
      ))}
    </div>
  );
}

export function Status({ of }: { of: keyof typeof statusText }) {
  return <span className={`status status-${of.toLowerCase()}`}>{statusText[of]}</span>;
}
