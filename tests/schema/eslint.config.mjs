// The rules that schema.graphql must pass: all there are, with the stated exceptions.
import graphql from "@graphql-eslint/eslint-plugin";

const config = (name) => graphql.configs[name].rules;

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "./schema.graphql" } },
    },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...config("flat/schema-recommended"),
      ...config("flat/schema-all"),
      ...config("flat/schema-relay"),
      // What belongs together stands together.
      "@graphql-eslint/alphabetize": "off",
      // `broadcastId` of a broadcast and the like are the booking source's identifiers, beside the global `id`.
      "@graphql-eslint/no-typename-prefix": "off",
      // A payload has what was changed; who wants more asks again.
      "@graphql-eslint/require-field-of-type-query-in-mutation-result": "off",
      "@graphql-eslint/relay-edge-types": [
        "error",
        { withEdgeSuffix: true, listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: true },
      ],
      // The roots are told by their names.
      "@graphql-eslint/no-root-type": "off",
      "@graphql-eslint/require-description": [
        "error",
        {
          types: true,
          DirectiveDefinition: true,
          EnumValueDefinition: true,
          FieldDefinition: true,
          InputValueDefinition: true,
          rootField: true,
        },
      ],
      // Types that are values: they have no identity of their own.
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            suffixes: ["Connection", "Edge", "Payload"],
            types: [
              "PageInfo",
              "Money",
              "UserError",
              "BroadcastCounts",
              "ReservationChange",
              "BroadcastProgress",
              "ReservationStatusCount",
              "CurrencyTotal",
              "ReservationStats",
              "Suspension",
              "WebhookRegistration",
              "WebhookGap",
            ],
          },
        },
      ],
      "@graphql-eslint/input-name": ["error", { checkInputType: true, caseSensitiveInputType: false }],
    },
  },
];
