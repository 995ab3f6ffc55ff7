use super::*;
use k8s_openapi::api::core::v1::ConfigMap;

fn object(name: &str, version: u64) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("food".into()),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, ..ConfigMap::default() }
}

fn watched(cache: &Cache<ConfigMap>, object: ConfigMap) {
    cache.apply(object);
}

fn held(cache: &Cache<ConfigMap>, name: &str) -> Option<String> {
    cache.object(&Key::new("food", name)).and_then(|o| o.resource_version())
}

#[test]
fn an_own_write_is_seen_at_once_and_no_older_copy_replaces_it() {
    let cache = Cache::default();
    watched(&cache, object("a", 5));
    cache.remember(object("a", 7));
    watched(&cache, object("a", 6));
    assert_eq!(held(&cache, "a").as_deref(), Some("7"));
}

#[test]
fn an_own_write_does_not_bring_a_deleted_object_back() {
    let cache = Cache::default();
    watched(&cache, object("a", 5));
    let gone = object("a", 8);
    cache.delete(&gone.metadata, &Key::of(&gone));
    cache.remember(object("a", 7));
    assert_eq!(held(&cache, "a"), None);
}

#[test]
fn a_late_deletion_does_not_take_a_namesake_that_came_after() {
    let cache = Cache::default();
    cache.remember(object("a", 9));
    let gone = object("a", 8);
    cache.delete(&gone.metadata, &Key::of(&gone));
    assert_eq!(held(&cache, "a").as_deref(), Some("9"));
}

#[test]
fn a_relist_takes_out_what_it_did_not_bring() {
    let cache = Cache::default();
    watched(&cache, object("a", 5));
    watched(&cache, object("b", 6));
    cache.relist_begins(None);
    watched(&cache, object("b", 6));
    let vanished = cache.relist_ends(None);
    assert_eq!(vanished, vec![Key::new("food", "a")]);
    assert_eq!((held(&cache, "a"), held(&cache, "b").as_deref()), (None, Some("6")));
}

#[test]
fn what_was_found_gone_before_the_watch_said_so_is_told_by_the_next_list() {
    let cache = Cache::default();
    watched(&cache, object("a", 5));
    cache.forget(&Key::new("food", "a"), Some(&object("a", 5)));
    cache.relist_begins(None);
    assert_eq!(cache.relist_ends(None), vec![Key::new("food", "a")]);
    cache.relist_begins(None);
    assert_eq!(cache.relist_ends(None), Vec::<Key>::new(), "once");
}

#[test]
fn a_relist_of_one_namespace_leaves_the_others_alone() {
    let cache = Cache::default();
    watched(&cache, object("a", 5));
    cache.relist_begins(Some("elsewhere"));
    assert_eq!(cache.relist_ends(Some("elsewhere")), Vec::<Key>::new());
    assert_eq!(held(&cache, "a").as_deref(), Some("5"));
}

/// A number that a test has put into an object.
fn data(object: &ConfigMap, name: &str) -> i64 {
    let text = object.data.as_ref().and_then(|data| data.get(name));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The group of an object, if it is in one.
fn group(object: &ConfigMap) -> Option<Cow<'_, str>> {
    object.data.as_ref()?.get("group").map(|group| Cow::Borrowed(group.as_str()))
}

/// Objects and a sum, as a kind may want them added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    objects: i64,
    by_part: std::collections::BTreeMap<i64, i64>,
}

impl Sum {
    fn change(&mut self, object: &ConfigMap, by: i64) {
        self.objects += by;
        let part = self.by_part.entry(data(object, "part")).or_default();
        *part += by * data(object, "number");
        self.by_part.retain(|_, sum| *sum != 0);
    }
}

impl Aggregate<ConfigMap> for Sum {
    fn add(&mut self, object: &ConfigMap) {
        self.change(object, 1);
    }

    fn remove(&mut self, object: &ConfigMap) {
        self.change(object, -1);
    }
}

/// How many objects there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count(i64);

impl<K> Aggregate<K> for Count {
    fn add(&mut self, _: &K) {
        self.0 = self.0.saturating_add(1);
    }

    fn remove(&mut self, _: &K) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// What walks find is what the index and the tallies say, in every namespace and group.
fn assert_kept(cache: &Cache<ConfigMap>, index: &Index, sums: &Tally<Sum>, counts: &Tally<Count>) {
    let mut groups = 0;
    for name in GROUPS {
        let everywhere = cache.walk(|_, object| group(object).as_deref() == Some(name));
        assert_eq!(index.keys(name), everywhere.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
        assert_eq!(cache.objects(&index.keys(name)).len(), everywhere.len());
        for namespace in NAMESPACES {
            let own: Vec<_> = everywhere.iter().filter(|(key, _)| *key.namespace == *namespace).collect();
            let keys: Vec<Key> = own.iter().map(|(key, _)| key.clone()).collect();
            assert_eq!(index.keys_in(namespace, name), keys);
            let mut sum = Sum::default();
            for (_, object) in &own {
                sum.add(object);
            }
            let key = Key::new(namespace, name);
            assert_eq!((sums.of(&key), counts.of(&key).0), (sum.clone(), sum.objects));
            groups += usize::from(sum.objects > 0);
        }
    }
    assert_eq!(
        (sums.groups(), counts.groups()),
        (groups, groups),
        "of a group that is empty nothing is kept"
    );
}

const NAMESPACES: [&str; 3] = ["drink", "food", "foods"];
const GROUPS: [&str; 4] = ["a", "aa", "b", ""];

/// One step at random, as watches, own writes, live reads and lists change a cache.
fn step(cache: &Cache<ConfigMap>, random: &mut impl rand::RngExt, version: u64) {
    let name = format!("n{}", random.random_range(0..12));
    let mut object = object(&name, version.saturating_sub(random.random_range(0..4)));
    object.metadata.namespace = Some(NAMESPACES[random.random_range(0..3)].into());
    let mut data = std::collections::BTreeMap::new();
    for field in ["part", "number"] {
        data.insert(field.to_owned(), random.random_range(0..4).to_string());
    }
    if random.random_range(0..5) > 0 {
        data.insert("group".into(), GROUPS[random.random_range(0..4)].into());
    }
    object.data = Some(data);
    let (metadata, key) = (object.metadata.clone(), Key::of(&object));
    match random.random_range(0..20) {
        0..=7 => watched(cache, object),
        8..=11 => cache.remember(object),
        12..=14 => cache.delete(&metadata, &key),
        15 => cache.forget(&key, cache.object(&key).as_deref()),
        16..=17 => {
            cache.apply_malformed(Malformed { metadata, error: "of another shape".into() });
        }
        18 => cache.relist_begins(Some(&key.namespace)),
        _ => drop(cache.relist_ends(Some(&key.namespace))),
    }
}

/// One that packs every other object.
fn packing() -> Cache<ConfigMap> {
    Cache::new(Keeping::packed(|_| {}, |object| data(object, "number") % 2 == 0))
}

fn is_packed(cache: &Cache<ConfigMap>, name: &str) -> bool {
    matches!(cache.read().entries[&Key::new("food", name)].held, Held::Packed(_))
}

#[test]
fn an_object_that_rests_is_packed_and_read_as_it_was() {
    let cache = packing();
    for (name, number) in [("rests", "4"), ("works", "5")] {
        let data = [("number".to_owned(), number.to_owned())].into();
        let object = ConfigMap { data: Some(data), ..object(name, 5) };
        watched(&cache, object.clone());
        assert_eq!(cache.object(&Key::of(&object)).as_deref(), Some(&object));
    }
    assert_eq!((is_packed(&cache, "rests"), is_packed(&cache, "works")), (true, false));
    assert_eq!(cache.walk_keys(), ["rests", "works"].map(|name| Key::new("food", name)));
}

#[test]
fn an_index_and_a_tally_are_what_a_walk_finds_whatever_comes_changes_and_goes() {
    for seed in 0..40 {
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        let cache = if seed % 2 == 0 { Cache::default() } else { packing() };
        // Also of what is there already.
        for version in 1..20 {
            step(&cache, &mut random, version);
        }
        let (index, sums, counts) = (cache.index(group), cache.tally(group), cache.tally(group));
        for version in 20..400 {
            step(&cache, &mut random, version);
            assert_kept(&cache, &index, &sums, &counts);
        }
    }
}

#[test]
fn a_difference_is_told_once_however_it_came_and_also_of_what_has_changed_back() {
    let number = |version, number: i64| {
        let data = [("number".to_owned(), number.to_string())].into();
        ConfigMap { data: Some(data), ..object("a", version) }
    };
    let (cache, key) = (Cache::default(), Key::new("food", "a"));
    let difference = cache.difference(|old, new| data(old, "number") != data(new, "number"));
    watched(&cache, number(1, 7));
    assert!(difference.take(&key), "it came");
    watched(&cache, number(2, 7));
    assert!(!difference.take(&key));
    cache.remember(number(3, 8));
    watched(&cache, number(4, 7));
    assert!(difference.take(&key), "whoever has acted on the copy between has to look again");
    assert!(!difference.take(&key), "once");
    cache.forget(&key, Some(&number(4, 7)));
    assert!(difference.take(&key), "it went");
}
