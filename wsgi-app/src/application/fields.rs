//! Header fields from an application's iterator, collected before the connection is locked.

/// The largest number of fields that are kept without an allocation.
const USUAL: usize = 8;

/// The fields of one call, in order.
pub(crate) struct Fields<F> {
    usual: [Option<F>; USUAL],
    more: Vec<F>,
}

impl<F> Fields<F> {
    /// Collects all fields of the application's iterator.
    pub(crate) fn collect(fields: impl IntoIterator<Item = F>) -> Self {
        let mut fields = fields.into_iter();
        let mut usual = [const { None }; USUAL];
        for place in &mut usual {
            *place = fields.next();
            if place.is_none() {
                return Self { usual, more: Vec::new() };
            }
        }
        Self { usual, more: fields.collect() }
    }
}

impl<F> IntoIterator for Fields<F> {
    type Item = F;
    type IntoIter =
        std::iter::Chain<std::iter::Flatten<std::array::IntoIter<Option<F>, USUAL>>, std::vec::IntoIter<F>>;

    fn into_iter(self) -> Self::IntoIter {
        self.usual.into_iter().flatten().chain(self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_however_many_there_are() {
        for count in [0, 1, 7, 8, 9, 30] {
            let given = (0..count).map(|number| (number, number * 2));
            assert!(Fields::collect(given.clone()).into_iter().eq(given), "{count}");
        }
    }
}
