/** The controls of the pages: React Aria's, which bring keyboard, focus and labels, in our looks. */
import type { ReactNode } from "react";
import {
  Button as AriaButton,
  type ButtonProps as AriaButtonProps,
  FieldError,
  Input,
  Label,
  Text,
  TextField as AriaTextField,
} from "react-aria-components";

interface ButtonProps extends Omit<AriaButtonProps, "className" | "children"> {
  look?: "primary" | "plain" | "quiet" | "danger";
  small?: boolean;
  children: ReactNode;
}

export function Button({ look = "plain", small = false, ...rest }: ButtonProps) {
  return <AriaButton {...rest} className={`button button-${look}${small ? " button-small" : ""}`} />;
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  type?: "text" | "password" | "date" | "datetime-local" | "number";
  placeholder?: string;
  hint?: string;
  error?: string | null;
}

/** One line of text, or a date by the browser's own picker. */
export function Field({ label, type = "text", placeholder, hint, error, value, onChange }: FieldProps) {
  return (
    <AriaTextField className="field" type={type} value={value} onChange={onChange} isInvalid={Boolean(error)}>
      <Label>{label}</Label>
      <Input className={`input${value ? " input-set" : ""}`} placeholder={placeholder} spellCheck={false} />
      {hint && (
        <Text slot="description" className="hint">
          {hint}
        </Text>
      )}
      <FieldError className="field-error">{error}</FieldError>
    </AriaTextField>
  );
}
