/** What comes up over the page: a drawer at its side, or a question in its middle. Escape closes both. */
import type { ReactNode } from "react";
import { Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Button } from "./controls";
import { Icon } from "./icon";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

export function Drawer({ title, onClose, children }: Props) {
  return (
    <ModalOverlay className="scrim" isOpen isDismissable onOpenChange={(open) => !open && onClose()}>
      <Modal className="drawer">
        <Dialog className="drawer-body">
          <header className="drawer-head">
            <Heading slot="title" className="drawer-title">
              {title}
            </Heading>
            <Button look="quiet" aria-label="Close" onPress={onClose}>
              <Icon name="close" />
            </Button>
          </header>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

/** A question that is to be answered: a click beside it does not close it. */
export function Question({ title, onClose, children }: Props) {
  return (
    <ModalOverlay className="scrim scrim-middle" isOpen onOpenChange={(open) => !open && onClose()}>
      <Modal className="question">
        <Dialog role="alertdialog" className="question-body">
          <Heading slot="title" className="question-title">
            {title}
          </Heading>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
