"use strict";

const FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"];

// Swagger UI fills a form's fields with made-up values ("string") and sends them. A field that may be left out and has
// no default starts empty here instead, and an empty one is left out.
function withEmptyFields(document) {
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path)) {
      for (const form of FORMS) {
        const schema = operation.requestBody?.content[form]?.schema;
        for (const [name, field] of Object.entries(schema?.properties ?? {})) {
          if ((field.default ?? null) === null && !schema.required?.includes(name)) {
            delete field.default;
            field.example = field.type === "array" ? [] : "";
          }
        }
      }
    }
  }
  return document;
}

const EmptyFields = () => ({
  wrapComponents: {
    // A form of another media type begins anew, else what its fields show would not be sent.
    RequestBody: (Original, { React }) => (props) => React.createElement(Original, { ...props, key: props.contentType }),
    ParameterIncludeEmpty: (Original, { React }) => (props) => React.createElement(Original, {
      ...props,
      isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
    }),
  },
  statePlugins: {
    spec: {
      wrapActions: {
        updateSpec: (original) => (text) => original(JSON.stringify(withEmptyFields(JSON.parse(text)))),
      },
    },
  },
});

// The address is relative to this page, so that it also holds below another path and behind a proxy.
window.ui = SwaggerUIBundle({
  url: new URL(document.currentScript.dataset.document, document.baseURI).href,
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [EmptyFields],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  defaultModelRendering: "example",
  displayRequestDuration: true,
  filter: false,
  persistAuthorization: false, // what is kept in a browser's storage is kept too long
  requestSnippetsEnabled: false,
  showCommonExtensions: true,
  syntaxHighlight: { theme: "nord" },
  tryItOutEnabled: true,
  validatorUrl: null,
});
