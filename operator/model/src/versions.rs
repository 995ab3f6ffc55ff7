//! Versions of an object, copies of them, and the errors of a write. Of any object: which there are is in
//! [`crate::world`].

/// The versions of an object that somebody may still hold, oldest first; the last one is what the API server has.
/// Where there is `None` the object did not exist, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain<K>(pub Vec<Option<K>>);

impl<K: Copy> Chain<K> {
    /// The version that the API server has, and its number.
    pub fn last(&self) -> (u8, Option<K>) {
        let number = self.0.len().saturating_sub(1);
        (u8::try_from(number).unwrap_or(u8::MAX), self.0.last().copied().flatten())
    }

    /// A version.
    pub fn at(&self, number: u8) -> Option<K> {
        self.0.get(usize::from(number)).copied().flatten()
    }
}

/// What a replica has of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cache {
    /// The version in the cache, `None` when there is no object in it.
    pub held: Option<u8>,
    /// How far the watch has come. Only kept where the watch brings every version.
    pub watched: u8,
}

/// Why a write was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// Somebody wrote first.
    Conflict,
    /// There is no such object.
    NotFound,
    /// A CEL rule refuses the step.
    Invalid,
}
