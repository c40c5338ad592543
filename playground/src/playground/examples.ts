/** What a tab is opened with; `variables` is JSON. */
interface Example {
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

/** One tab for each thing people come here to try: list, follow, write to guests, watch it being sent. */
export const examples: Example[] = [
  { query: reservations },
  { query: reservationChanged, variables: json({ filter: { statuses: ["CONFIRMED", "MODIFIED"] } }) },
  {
    query: broadcast,
    variables: json({
      input: {
        message: "Check-in opens at 15:00. See you soon!",
        filter: { statuses: ["CONFIRMED"] },
        dryRun: true,
      },
    }),
  },
  { query: broadcastProgress, variables: json({ broadcastId: "" }) },
];

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
