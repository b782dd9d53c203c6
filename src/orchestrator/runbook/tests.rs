use super::{
    forecast::{Leg, forecast},
    values::{Part, fill, parts},
};
use crate::model::{Seconds, StepId};

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

#[test]
fn texts_have_values_and_can_say_that_they_have_none() {
    assert_eq!(parts("a${b}c").unwrap(), [Part::Text("a"), Part::Name("b"), Part::Text("c")]);
    let lookup = |name: &str| if name == "x" { Ok("${y}".to_owned()) } else { Err(format!("no {name}")) };
    for (text, filled) in
        [("", ""), ("$", "$"), ("${x}", "${y}"), ("$${x}", "${x}"), ("$$${x}", "$${x}"), ("a${x}${x}$", "a${y}${y}$"), ("ü${x}ü", "ü${y}ü")]
    {
        assert_eq!(fill(text, &lookup).as_deref(), Ok(filled), "{text}");
    }
    assert_eq!(fill("${z}", &lookup), Err("no z".to_owned()));
    assert!(fill("${x", &lookup).is_err());
}

#[test]
fn a_forecast_starts_everything_as_soon_as_it_may_and_names_the_longest_way() {
    let ids = ["a", "b", "c", "d", "l"].map(id);
    let [a, b, c, d, l] = &ids;
    let leg = |id, needs, takes, later| Leg { id, needs, takes: Seconds(takes), later };
    let (after_a, after_both, after_d) = ([a.clone()], [b.clone(), c.clone()], [d.clone()]);
    let legs =
        [leg(a, &[], 10, false), leg(b, &[], 25, false), leg(c, &after_a, 20, false), leg(d, &after_both, 1, false), leg(l, &after_d, 100, true)];
    let found = forecast(&legs);
    assert_eq!((found.service, found.full), (Seconds(31), Seconds(131)));
    assert_eq!(found.critical, [a.clone(), c.clone(), d.clone()]);
    assert_eq!(found.spans[b], (Seconds(0), Seconds(25)));
}
