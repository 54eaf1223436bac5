//! Small pairs of contracts: what each violation says, and what is none.

use crate::compare::violations;
use crate::surface::Surface;

const RELEASED: &str = "package acme:door@0.1.0;

@since(version = 0.1.0)
interface types {
    @since(version = 0.1.0)
    enum error { closed, locked }
    @since(version = 0.1.0)
    record key { id: u32, owner: string }
    @since(version = 0.1.0)
    variant way { into, out(u8) }
    @since(version = 0.1.0)
    type code = list<u8>;
}

@since(version = 0.1.0)
interface door {
    use types.{error, key};
    @since(version = 0.1.0)
    open: func(key: key) -> result<_, error>;
    @since(version = 0.1.0)
    state: func() -> string;
}

@since(version = 0.1.0)
interface on-knock {
    @since(version = 0.1.0)
    handle: func();
}

@since(version = 0.1.0)
world guard {
    import door;
    export on-knock;
}
";

/// What is wrong with the released contract as 0.1.1 after these replacements, of which each must apply.
fn after(replacements: &[(&str, &str)]) -> Vec<String> {
    let mut text = RELEASED.replace("@0.1.0;", "@0.1.1;");
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    against_released(&text)
}

fn against_released(text: &str) -> Vec<String> {
    let released = Surface::of_text("old.wit", RELEASED).unwrap();
    violations(&released, &Surface::of_text("new.wit", text).unwrap())
}

#[test]
fn the_same_is_no_violation() {
    assert_eq!(after(&[]), [""; 0]);
    let commented = RELEASED.replace("enum error {", "/// Why not.\n    enum error {\n");
    assert_eq!(against_released(&commented), [""; 0]);
}

#[test]
fn what_is_added_and_marked_is_no_violation() {
    let functions = "
    @since(version = 0.1.1)
    enum bolt { top, bottom }
    @since(version = 0.1.1)
    use types.{way};
    @since(version = 0.1.1)
    slide: func(bolt: bolt, way: way);
    @since(version = 0.1.0)
    state: func()";
    let interface = "
@since(version = 0.1.1)
interface rope {
    @since(version = 0.1.1)
    type length = u32;
}

@since(version = 0.1.1)
interface bell {
    use rope.{length};
    @since(version = 0.1.1)
    ring: func() -> length;
}

@since(version = 0.1.1)
world porter { import bell; export on-knock; }

@since(version = 0.1.0)
world guard {
    @since(version = 0.1.1)
    import bell;";
    let found = after(&[
        (
            "\n    @since(version = 0.1.0)\n    state: func()",
            functions,
        ),
        ("\n@since(version = 0.1.0)\nworld guard {", interface),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn what_is_gone_is_named_once() {
    let found = after(&[(
        "    @since(version = 0.1.0)\n    state: func() -> string;\n",
        "",
    )]);
    assert_eq!(
        found,
        ["old.wit:21:5: door.state: was released and is not there any more"]
    );

    let knock = "@since(version = 0.1.0)\ninterface on-knock {\n    @since(version = 0.1.0)\n    handle: func();\n}\n";
    let found = after(&[(knock, ""), ("    export on-knock;\n", "")]);
    assert_eq!(
        found,
        [
            "old.wit:25:11: on-knock: was released and is not there any more",
            "old.wit:33:12: world guard, export on-knock: was released and is not there any more",
        ]
    );

    let found = after(&[("    import door;\n", "")]);
    assert!(
        found[0].contains("world guard, import door: was released"),
        "{found:?}"
    );
    let found = after(&[("world guard", "world warden")]);
    assert!(found[0].contains("world guard: was released"), "{found:?}");
}

#[test]
fn what_has_another_signature() {
    let cases = [
        (
            "state: func() -> string",
            "state: func() -> option<string>",
            "door.state: was `func() -> string`, is `func() -> option<string>`",
        ),
        (
            "open: func(key: key)",
            "open: func(by: key)",
            "door.open: was `func(key: types.key) -> result<_, types.error>`, \
          is `func(by: types.key) -> result<_, types.error>`",
        ),
        (
            "open: func(key: key)",
            "open: async func(key: key)",
            "is `async func(key: types.key) -> result<_, types.error>`",
        ),
        (
            "type code = list<u8>",
            "type code = string",
            "types.code: was `type list<u8>`, is `type string`",
        ),
        (
            "enum error { closed, locked }",
            "flags error { closed, locked }",
            "types.error: was `enum`, is `flags`",
        ),
    ];
    for (old, new, expected) in cases {
        let found = after(&[(old, new)]);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{new}: {found:?}"
        );
    }
}

#[test]
fn a_released_type_neither_grows_nor_shrinks() {
    let cases = [
        (
            "closed, locked }",
            "closed, locked, jammed }",
            "types.error: `jammed` is new",
        ),
        (
            "closed, locked }",
            "closed }",
            "types.error: `locked` is not there",
        ),
        (
            "closed, locked }",
            "locked, closed }",
            "types.error: the order was closed, locked",
        ),
        (
            "owner: string }",
            "owner: string, color: u8 }",
            "types.key: `color: u8` is new",
        ),
        ("id: u32", "id: u64", "types.key: `id: u32` is not there"),
        ("out(u8) }", "out(u8), over }", "types.way: `over` is new"),
        ("out(u8) }", "out }", "types.way: `out(u8)` is not there"),
    ];
    for (old, new, expected) in cases {
        let found = after(&[(old, new)]);
        assert!(found[0].starts_with("new.wit:"), "{found:?}");
        assert!(found[0].contains(expected), "{new}: {found:?}");
    }
}

#[test]
fn what_is_added_says_since_when() {
    let state = "    @since(version = 0.1.0)\n    state";
    let unmarked = format!("    shut: func();\n{state}");
    assert_eq!(
        after(&[(state, &unmarked)]),
        ["new.wit:20:5: door.shut: is new and has no @since; it is not in 0.1.0"]
    );
    for mark in ["", "@since(version = 0.1.0)", "@unstable(feature = shut)"] {
        let added = format!("    {mark}\n    shut: func();\n{state}");
        let found = after(&[(state, &added)]);
        assert!(found[0].contains("door.shut: is new"), "{mark}: {found:?}");
    }
    let used = after(&[("use types.{error, key};", "use types.{error, key, way};")]);
    assert!(
        used[0].contains("door.way: is new and has no @since"),
        "{used:?}"
    );
    let bell = "@since(version = 0.1.1)\ninterface bell {}\n@since(version = 0.1.0)\nworld guard {";
    let import = [
        ("@since(version = 0.1.0)\nworld guard {", bell),
        ("import door;", "import door; import bell;"),
    ];
    let imported = after(&import);
    assert_eq!(imported.len(), 1, "{imported:?}");
    assert!(
        imported[0].contains("world guard, import bell: is new and has no @since"),
        "{imported:?}"
    );
    let moved = after(&[(state, "    @since(version = 0.1.1)\n    state")]);
    assert!(
        moved[0].contains("door.state: was marked @since 0.1.0, is marked @since 0.1.1"),
        "{moved:?}"
    );
}

#[test]
fn nothing_is_marked_newer_than_the_package() {
    let ahead = RELEASED.replacen("@since(version = 0.1.0)", "@since(version = 0.1.1)", 1);
    let error = Surface::of_text("new.wit", &ahead).unwrap_err();
    assert!(
        format!("{error:#}").contains("unreleased version 0.1.1"),
        "{error:#}"
    );
}

#[test]
fn what_released_plugins_export_does_not_grow() {
    let handle = "    @since(version = 0.1.0)\n    handle";
    let more = format!("    @since(version = 0.1.1)\n    listen: func();\n{handle}");
    let found = after(&[(handle, &more)]);
    assert!(
        found[0].contains("on-knock.listen: is new in an interface that plugins export"),
        "{found:?}"
    );

    let world = "\n@since(version = 0.1.0)\nworld guard {";
    let phase = "
@since(version = 0.1.1)
interface on-leave {
    @since(version = 0.1.1)
    handle: func();
}

@since(version = 0.1.0)
world guard {
    @since(version = 0.1.1)
    export on-leave;";
    let found = after(&[(world, phase)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("world guard, export on-leave: is a new export of a released world"),
        "{found:?}"
    );
}

#[test]
fn a_difference_needs_a_higher_version() {
    let deprecated = RELEASED.replace(
        "    @since(version = 0.1.0)\n    state",
        "    @since(version = 0.1.0)\n    @deprecated(version = 0.1.0)\n    state",
    );
    assert_eq!(
        against_released(&deprecated),
        ["0.1.0 is released, and this differs from it: the package's version must be higher"]
    );
    let higher = deprecated.replace("@0.1.0;", "@0.1.1;");
    assert_eq!(against_released(&higher), [""; 0]);
}

#[test]
fn another_minor_version_is_another_package() {
    for version in ["0.2.0", "1.0.0", "0.0.9"] {
        let text = RELEASED
            .replace("@0.1.0;", &format!("@{version};"))
            .replace("@since(version = 0.1.0)\n", "");
        let found = against_released(&text);
        assert!(
            found[0].contains(&format!("version {version} is not compatible with 0.1.0")),
            "{found:?}"
        );
    }
}
