/** What a tab is opened with; `variables` is JSON. */
interface Example {
  name: string;
  query: string;
  variables?: string;
}

const reservations = `# The 20 reservations that changed last.
query Reservations {
  reservations(
    first: 20
    orderBy: { field: UPDATED_AT, direction: DESC }
  ) {
    nodes {
      reservationId
      status
      checkIn
      checkOut
      guest {
        firstName
        lastName
      }
      total {
        amount
        currencyCode
      }
    }
    streamCursor
  }
}
`;

const reservationChanged = `# Each change as it commits. Give the streamCursor of
# the list as "after", and nothing in between is missed.
subscription ReservationChanged(
  $filter: ReservationFilter
  $after: String
) {
  reservationChanged(filter: $filter, after: $after) {
    cursor
    transition
    kind
    reservation {
      reservationId
      status
      checkIn
      checkOut
      guest {
        firstName
        lastName
      }
      total {
        amount
        currencyCode
      }
    }
  }
}
`;

const broadcast = `# One message to each guest whose reservation matches.
# "dryRun" only counts them: set it to false to send.
mutation Broadcast($input: BroadcastInput!) {
  broadcast(input: $input) {
    broadcast {
      id
      status
      counts {
        total
      }
    }
    recipientCount
    isReplay
    userErrors {
      code
      message
      field
    }
  }
}
`;

const broadcastProgress = `# Put the id of a broadcast under "Variables".
subscription BroadcastProgress($broadcastId: ID!) {
  broadcastProgress(broadcastId: $broadcastId) {
    cursor
    broadcast {
      status
      counts {
        total
        pending
        sent
        failed
        uncertain
        cancelled
      }
      sendRate
    }
  }
}
`;

const details = `# One reservation, with its guest and what happened to it.
query Reservation($reservationId: String!) {
  reservation(reservationId: $reservationId) {
    status
    checkIn
    checkOut
    nights
    guest {
      firstName
      lastName
      email
      phone
    }
    history(first: 10) {
      kind
      changedFields
      committedAt
    }
  }
}
`;

const stats = `# Figures over a filtered set.
query Stats($filter: ReservationFilter) {
  reservationStats(filter: $filter) {
    count
    guestCount
    byStatus {
      status
      count
    }
    totals {
      total {
        amount
        currencyCode
      }
    }
  }
}
`;

const broadcasts = `# The last broadcasts, and who did not get them.
query Broadcasts {
  broadcasts(first: 5) {
    nodes {
      id
      message
      status
      counts {
        total
        sent
        failed
      }
      messages(first: 10, statuses: [FAILED, UNCERTAIN]) {
        nodes {
          guest {
            guestId
          }
          attempts
          lastError
        }
      }
    }
  }
}
`;

const rejected = `# Webhooks that could not be applied, and why.
query RejectedWebhooks {
  rejectedWebhooks(first: 10) {
    nodes {
      id
      receivedAt
      reason
      body
    }
  }
}
`;

/** Each thing people come here to try; the first four are the tabs of a first visit: list, follow, write, watch. */
export const examples: Example[] = [
  { name: "Reservations", query: reservations },
  {
    name: "Follow reservations",
    query: reservationChanged,
    variables: json({ filter: { statuses: ["CONFIRMED", "MODIFIED"] } }),
  },
  {
    name: "Write to guests",
    query: broadcast,
    variables: json({
      input: {
        message: "Check-in opens at 15:00. See you soon!",
        filter: { statuses: ["CONFIRMED"] },
        dryRun: true,
      },
    }),
  },
  { name: "Follow a broadcast", query: broadcastProgress, variables: json({ broadcastId: "" }) },
  { name: "One reservation", query: details, variables: json({ reservationId: "res_00001" }) },
  { name: "Figures", query: stats, variables: json({ filter: {} }) },
  { name: "Broadcasts", query: broadcasts },
  { name: "Rejected webhooks", query: rejected },
];

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
