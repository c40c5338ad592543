//! What has to be known of the schema before a document is validated: which values its variables take, and
//! which fields have pages. Read from the schema's own text, so that it can't differ from it.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Value as Const,
    parser::{
        self,
        types::{
            BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind,
            TypeSystemDefinition,
        },
    },
};

/// Entries of a page when neither `first` nor `last` is given.
const PAGE_DEFAULT: u64 = 50;

/// Types of input that have a shape of their own.
#[derive(Debug)]
pub(super) enum Input {
    /// The names of its values.
    Enum(HashSet<String>),
    /// Its fields.
    Object(Vec<InputField>),
}

/// A field of an input object.
#[derive(Debug)]
pub(super) struct InputField {
    /// Its name.
    pub(super) name: String,
    /// Its type.
    pub(super) ty: Type,
    /// Whether it may be left out though its type has no null.
    pub(super) has_default: bool,
}

/// The shapes.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    inputs: HashMap<String, Input>,
    pages: HashMap<String, u64>,
    ints: HashSet<String>,
}

impl Shapes {
    /// Reads a schema.
    pub(super) fn read(sdl: &str) -> Result<Self, parser::Error> {
        let mut shapes = Self::default();
        for definition in parser::parse_schema(sdl)?.definitions {
            if let TypeSystemDefinition::Type(definition) = definition {
                shapes.take(definition.node);
            }
        }
        Ok(shapes)
    }

    fn take(&mut self, definition: TypeDefinition) {
        let input = match definition.kind {
            TypeKind::Object(object) => {
                return self.take_pages(object.fields.into_iter().map(|field| field.node));
            }
            TypeKind::Interface(interface) => {
                return self.take_pages(interface.fields.into_iter().map(|field| field.node));
            }
            TypeKind::Scalar | TypeKind::Union(_) => return,
            TypeKind::Enum(all) => {
                Input::Enum(all.values.iter().map(|value| value.node.value.node.to_string()).collect())
            }
            TypeKind::InputObject(object) => {
                self.take_ints(object.fields.iter().map(|field| &field.node));
                Input::Object(object.fields.into_iter().map(|field| input_field(field.node)).collect())
            }
        };
        self.inputs.insert(definition.name.node.to_string(), input);
    }

    /// Fields of the same name count alike, by the longest page.
    fn take_pages(&mut self, fields: impl Iterator<Item = FieldDefinition>) {
        for field in fields {
            self.take_ints(field.arguments.iter().map(|argument| &argument.node));
            let first = field.arguments.iter().find(|argument| argument.node.name.node == "first");
            let Some(first) = first else { continue };
            let default = match first.node.default_value.as_ref().map(|value| &value.node) {
                Some(Const::Number(number)) => number.as_u64().unwrap_or(PAGE_DEFAULT),
                _ => PAGE_DEFAULT,
            };
            let known = self.pages.entry(field.name.node.to_string()).or_default();
            *known = default.max(*known);
        }
    }

    fn take_ints<'a>(&mut self, inputs: impl Iterator<Item = &'a InputValueDefinition>) {
        let ints =
            inputs.filter(|input| matches!(&input.ty.node.base, BaseType::Named(name) if name == "Int"));
        self.ints.extend(ints.map(|input| input.name.node.to_string()));
    }

    /// Whether the arguments and input fields of this name are of type `Int`.
    pub(super) fn is_int(&self, name: &str) -> bool {
        self.ints.contains(name)
    }

    /// What a type of input takes; none for scalars and what is not there.
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    /// How many entries a field has by default, if it has pages.
    pub(super) fn page(&self, field: &str) -> Option<u64> {
        self.pages.get(field).copied()
    }
}

fn input_field(field: InputValueDefinition) -> InputField {
    InputField {
        name: field.name.node.to_string(),
        ty: field.ty.node,
        has_default: field.default_value.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_of_type_int_is_so_everywhere() {
        let sdl = crate::graphql::sdl();
        let shapes = Shapes::read(&sdl).unwrap();
        assert!(shapes.is_int("first") && shapes.is_int("expectedRecipients"), "{:?}", shapes.ints);
        let definitions = parser::parse_schema(&sdl).unwrap().definitions;
        let inputs = definitions.into_iter().flat_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => match definition.node.kind {
                TypeKind::InputObject(object) => object.fields,
                TypeKind::Object(object) => {
                    object.fields.into_iter().flat_map(|field| field.node.arguments).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        });
        for input in inputs.map(|input| input.node).filter(|input| shapes.is_int(&input.name.node)) {
            let ty = input.ty.node.to_string();
            assert!(ty.starts_with("Int"), "{}: {ty}, elsewhere Int", input.name.node);
        }
    }
}
