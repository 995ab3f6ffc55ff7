//! Where in an object something is: `spec.items[0].quantity`. It is written out only when something is wrong there, and
//! costs nothing otherwise.

use std::fmt;

/// A place in an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// The whole.
    Root,
    /// A field of what is at another place.
    Field(&'a Place<'a>, &'a str),
    /// An element of what is at another place.
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_kubernetes_writes_them() {
        let spec = Place::Field(&Place::Root, "spec");
        let items = Place::Field(&spec, "items");
        let first = Place::Index(&items, 0);
        assert_eq!(Place::Field(&first, "quantity").to_string(), "spec.items[0].quantity");
        assert_eq!(Place::Root.to_string(), "");
    }
}
