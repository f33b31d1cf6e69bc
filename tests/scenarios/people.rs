//! People by the command line: the first owner, roles, sessions, and who did what.

use std::io::Write as _;
use std::time::Duration;

use anabranch_testkit::{Server, wait_for};

use crate::text;

#[test]
fn people_are_made_changed_and_heard_of() {
    let server = Server::start();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "correct horse battery").unwrap();
    let path = file.path().to_str().unwrap();
    let owner = server.cli(&["user", "create", "olive", "--role", "owner", "--password-file", path]);
    assert_eq!((text(&owner["role"]), owner["has_password"].as_bool()), ("owner".to_owned(), Some(true)));
    let made = [
        "user",
        "create",
        "oscar",
        "--role",
        "operator",
        "--no-password",
        "--add",
        "channel:update",
        "--remove",
        "key:sign",
    ];
    let oscar = server.cli(&made);
    assert_eq!(oscar["privileges_added"][0], "channel:update");
    assert_eq!(oscar["has_password"], false);
    let changed = server.cli(&["user", "update", "oscar", "--plain", "--disable", "--display-name", "Oscar O."]);
    assert_eq!((changed["disabled"].as_bool(), text(&changed["display_name"])), (Some(true), "Oscar O.".to_owned()));
    assert!(changed["privileges_added"].as_array().unwrap().is_empty());
    assert_eq!(server.cli(&["user", "password", "oscar", "--password-file", path])["has_password"], true);
    let refused = server.cli_refused(&["user", "delete", "olive"]);
    assert!(refused.contains("last owner"), "{refused}");
    let refused = server.cli_refused(&["user", "create", "x", "--role", "root", "--no-password"]);
    assert!(refused.contains("owner, admin, operator or viewer"), "{refused}");
    assert_eq!(server.cli(&["user", "list"])["items"].as_array().unwrap().len(), 2);
    assert!(server.cli(&["session", "list", "--user", "olive"])["items"].as_array().unwrap().is_empty());
    let _ = server.cli(&["session", "end", "--user", "oscar"]);
    let refused = server.cli_refused(&["session", "end", "nothing"]);
    assert!(refused.contains("no session"), "{refused}");
    let _ = server.cli(&["user", "delete", "oscar"]);
    wait_for("the audit", Duration::from_secs(10), || {
        let rows = server.cli(&["audit", "--object", "user", "--subject", "oscar"]);
        let operations: Vec<String> = rows["items"].as_array()?.iter().map(|row| text(&row["operation"])).collect();
        (operations == ["user_delete", "user_sessions_end", "user_update", "user_update"]).then_some(())
    });
}
