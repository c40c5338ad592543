//! Whether the variables of a request have the types that its operation declares, checked before anything
//! runs: a request that is wrong there has no `data` (GraphQL, 6.1.2 CoerceVariableValues).

use async_graphql::{
    ScalarType, ServerError, Value, Variables,
    parser::types::{BaseType, OperationDefinition, Type, VariableDefinition},
};

use super::shapes::{Input, Shapes};
use crate::graphql::{
    errors::Code,
    scalars::{Date, DateTime, Decimal},
};

/// Why a value can't be used, and where in the variable it is.
struct Mismatch {
    path: String,
    problem: String,
}

/// Refuses the first variable that can't be used.
pub(super) fn check(
    operation: &OperationDefinition,
    variables: &Variables,
    shapes: &Shapes,
) -> Result<(), ServerError> {
    for definition in &operation.variable_definitions {
        let refuse = |problem: String| Code::BadUserInput.error_at(problem, definition.pos);
        variable(&definition.node, variables, shapes).map_err(refuse)?;
    }
    Ok(())
}

fn variable(definition: &VariableDefinition, variables: &Variables, shapes: &Shapes) -> Result<(), String> {
    let (name, ty) = (&definition.name.node, &definition.var_type.node);
    match variables.get(name) {
        Some(value) => fits(value, ty, shapes)
            .map_err(|Mismatch { path, problem }| format!("variable ${name}{path}: {problem}")),
        None if ty.nullable || definition.default_value.is_some() => Ok(()),
        None => Err(format!("variable ${name}: of type {ty} must be given")),
    }
}

fn fits(value: &Value, ty: &Type, shapes: &Shapes) -> Result<(), Mismatch> {
    if *value == Value::Null {
        return if ty.nullable { Ok(()) } else { Err(mismatch(format!("must be of type {ty}, not null"))) };
    }
    match (&ty.base, value) {
        (BaseType::List(entry), Value::List(entries)) => {
            entries.iter().enumerate().try_for_each(|(n, value)| {
                fits(value, entry, shapes).map_err(|error| error.within(&format!("[{n}]")))
            })
        }
        // One value is taken for a list of it.
        (BaseType::List(entry), one) => fits(one, entry, shapes),
        (BaseType::Named(name), value) => match shapes.input(name) {
            Some(Input::Enum(names)) => match value {
                Value::String(text) if names.contains(text) => Ok(()),
                other => Err(mismatch(format!("{other} is not one of the values of {name}"))),
            },
            Some(Input::Object(_)) => object(value, name, shapes),
            None => scalar(value, name),
        },
    }
}

fn object(value: &Value, name: &str, shapes: &Shapes) -> Result<(), Mismatch> {
    let Some(Input::Object(fields)) = shapes.input(name) else { return Ok(()) };
    let Value::Object(given) = value else {
        return Err(mismatch(format!("must be of type {name}, not {value}")));
    };
    if let Some(unknown) = given.keys().find(|key| fields.iter().all(|field| field.name != key.as_str())) {
        return Err(mismatch(format!("{name} has no field {unknown}")));
    }
    for field in fields {
        match given.get(field.name.as_str()) {
            Some(value) => {
                fits(value, &field.ty, shapes).map_err(|error| error.within(&format!(".{}", field.name)))?;
            }
            None if field.ty.nullable || field.has_default => {}
            None => {
                return Err(mismatch(format!("of type {} must be given", field.ty))
                    .within(&format!(".{}", field.name)));
            }
        }
    }
    Ok(())
}

/// The scalars of the schema. One that is not there is validation's to tell.
fn scalar(value: &Value, name: &str) -> Result<(), Mismatch> {
    let is_fitting = match (name, value) {
        ("Int", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("ID", Value::Number(number)) => number.is_i64(),
        ("Int", _) => false,
        ("Float", value) => matches!(value, Value::Number(_)),
        ("Boolean", value) => matches!(value, Value::Boolean(_)),
        ("String" | "ID", value) => matches!(value, Value::String(_)),
        ("Date", value) => return read::<Date>(value),
        ("DateTime", value) => return read::<DateTime>(value),
        ("Decimal", value) => return read::<Decimal>(value),
        _ => true,
    };
    if is_fitting { Ok(()) } else { Err(mismatch(format!("must be of type {name}, not {value}"))) }
}

fn read<T: ScalarType + async_graphql::InputType>(value: &Value) -> Result<(), Mismatch> {
    let read = <T as ScalarType>::parse(value.clone());
    read.map(drop).map_err(|error| mismatch(error.into_server_error(async_graphql::Pos::default()).message))
}

fn mismatch(problem: String) -> Mismatch {
    Mismatch { path: String::new(), problem }
}

impl Mismatch {
    fn within(self, step: &str) -> Self {
        Self { path: format!("{step}{}", self.path), ..self }
    }
}
