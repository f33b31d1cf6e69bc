//! Every refusal names the field, the value and the fix, with CloudFront's code.

use serde_json::{Value, json};

use crate::{list, parse, with};

fn behavior() -> Value {
    json!({
        "PathPattern": "/a/*", "TargetOriginId": "web", "ViewerProtocolPolicy": "allow-all",
        "CachePolicyId": "CachingOptimized",
    })
}

/// Puts each value at its path; the fault must be told of the field, with the code.
fn refused(cases: &[(&str, Value, &str, &str)]) {
    for (path, value, field, code) in cases {
        let config = with(path, value.clone());
        let Err(error) = parse(&config) else { panic!("accepted: {path} = {value}") };
        assert_eq!((error.field(), error.code()), (*field, *code), "{path} = {value}: {error}");
    }
}

const ARGUMENT: &str = "InvalidArgument";

#[test]
fn what_it_says() {
    let error = parse(&with(
        "DefaultCacheBehavior.LambdaFunctionAssociations",
        list(json!([{ "LambdaFunctionARN": "arn", "EventType": "viewer-request" }])),
    ));
    assert_eq!(
        error.unwrap_err().to_string(),
        "DefaultCacheBehavior.LambdaFunctionAssociations: not honoured: Quantity 1 \
         (functions do not run here; set Quantity to 0)"
    );
    let error = parse(&with("Origins.Quantity", json!(3))).unwrap_err();
    assert_eq!(error.to_string(), "Origins.Quantity: Items has 2, not: 3 (Quantity tells how many Items there are)");
    let error = parse(&with("DefaultCacheBehavior.TargetOriginId", json!("nowhere"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "DefaultCacheBehavior.TargetOriginId: no such origin: nowhere (the Id of one of Origins or OriginGroups)"
    );
}

#[test]
fn of_the_distribution() {
    let long = "x".repeat(129);
    refused(&[
        ("Tier", json!(1), "Tier", ARGUMENT),
        ("CallerReference", json!(""), "CallerReference", ARGUMENT),
        ("CallerReference", json!(null), "CallerReference", ARGUMENT),
        ("Comment", json!(null), "Comment", ARGUMENT),
        ("Comment", json!(long), "Comment", ARGUMENT),
        ("Enabled", json!("true"), "Enabled", ARGUMENT),
        ("Aliases", json!(["a.example"]), "Aliases", ARGUMENT),
        ("Aliases", list(json!(["a.example", "A.example"])), "Aliases.Items[1]", ARGUMENT),
        ("Aliases", list(json!(["a.example:80"])), "Aliases.Items[0]", ARGUMENT),
        ("Aliases", list(json!(["a.*.example"])), "Aliases.Items[0]", ARGUMENT),
        ("Aliases", list(json!(["1.2.3.456"])), "Aliases.Items[0]", ARGUMENT),
        ("Aliases", list(json!(vec!["a"; 101])), "Aliases.Items", "TooManyDistributionCNAMEs"),
        ("Aliases", json!({ "Quantity": 1 }), "Aliases.Quantity", "InconsistentQuantities"),
        ("Aliases", json!({ "Items": [] }), "Aliases.Quantity", ARGUMENT),
        ("DefaultRootObject", json!("/index.html"), "DefaultRootObject", "InvalidDefaultRootObject"),
        ("PriceClass", json!("None"), "PriceClass", ARGUMENT),
        ("HttpVersion", json!("http4"), "HttpVersion", ARGUMENT),
        ("Logging", json!({ "Enabled": true }), "Logging.Enabled", ARGUMENT),
        ("Logging", json!({ "Enabled": false, "Bucket": "b" }), "Logging.Bucket", ARGUMENT),
        ("WebACLId", json!("arn:aws:wafv2:1"), "WebACLId", "InvalidWebACLId"),
        ("Staging", json!(true), "Staging", ARGUMENT),
        ("ContinuousDeploymentPolicyId", json!("p"), "ContinuousDeploymentPolicyId", ARGUMENT),
        ("AnycastIpListId", json!("a"), "AnycastIpListId", ARGUMENT),
        ("TenantConfig", json!({}), "TenantConfig", ARGUMENT),
        ("ConnectionMode", json!("tenant-only"), "ConnectionMode", ARGUMENT),
        ("ViewerMtlsConfig", json!({ "Mode": "required" }), "ViewerMtlsConfig", ARGUMENT),
        ("ConnectionFunctionAssociation", json!({ "Id": "f" }), "ConnectionFunctionAssociation", ARGUMENT),
        ("CacheTagConfig", json!({ "HeaderName": "X-Tags" }), "CacheTagConfig.HeaderName", ARGUMENT),
        (
            "Restrictions",
            json!({ "GeoRestriction": { "RestrictionType": "whitelist", "Quantity": 1, "Items": ["DE"] } }),
            "Restrictions.GeoRestriction.RestrictionType",
            "InvalidGeoRestrictionParameter",
        ),
    ]);
}

#[test]
fn of_certificates() {
    const CODE: &str = "InvalidViewerCertificate";
    refused(&[
        (
            "ViewerCertificate",
            json!({ "ACMCertificateArn": "arn:aws:acm:us-east-1:1:certificate/1", "SSLSupportMethod": "sni-only" }),
            "ViewerCertificate.ACMCertificateArn",
            CODE,
        ),
        ("ViewerCertificate", json!({ "IAMCertificateId": "A" }), "ViewerCertificate.IAMCertificateId", CODE),
        (
            "ViewerCertificate",
            json!({ "CloudFrontDefaultCertificate": false }),
            "ViewerCertificate.CloudFrontDefaultCertificate",
            CODE,
        ),
        (
            "ViewerCertificate",
            json!({ "CloudFrontDefaultCertificate": true, "SSLSupportMethod": "static-ip" }),
            "ViewerCertificate.SSLSupportMethod",
            ARGUMENT,
        ),
        (
            "ViewerCertificate",
            json!({ "CloudFrontDefaultCertificate": true, "MinimumProtocolVersion": "TLSv1.1_2016" }),
            "ViewerCertificate.MinimumProtocolVersion",
            "InvalidMinimumProtocolVersion",
        ),
        (
            "ViewerCertificate",
            json!({ "CloudFrontDefaultCertificate": true, "MinimumProtocolVersion": "TLSv1.3_2025" }),
            "ViewerCertificate.MinimumProtocolVersion",
            "InvalidMinimumProtocolVersion",
        ),
    ]);
}

#[test]
fn of_origins() {
    let header = |name: &str, value: &str| list(json!([{ "HeaderName": name, "HeaderValue": value }]));
    let custom = json!({ "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only" });
    let both = json!({ "Id": "web", "DomainName": "a.example", "CustomOriginConfig": custom, "S3OriginConfig": {} });
    let house = json!({ "Id": "web", "DomainName": "a.s3.anabranch.internal", "CustomOriginConfig": custom });
    let at = |name: &str| format!("Origins.Items.0.CustomOriginConfig.{name}");
    let field = |name: &str| format!("Origins.Items[0].CustomOriginConfig.{name}");
    for (name, value, code) in [
        ("HTTPPort", json!(0), ARGUMENT),
        ("HTTPPort", json!(65_536), ARGUMENT),
        ("HTTPSPort", json!("443"), ARGUMENT),
        ("OriginProtocolPolicy", json!("http"), ARGUMENT),
        ("OriginProtocolPolicy", json!(null), ARGUMENT),
        ("OriginReadTimeout", json!(0), "InvalidOriginReadTimeout"),
        ("OriginReadTimeout", json!(181), "InvalidOriginReadTimeout"),
        ("OriginKeepaliveTimeout", json!(-1), "InvalidOriginKeepaliveTimeout"),
        ("OriginSslProtocols", list(json!(["TLSv1.1"])), "InvalidProtocolSettings"),
        ("IpAddressType", json!("ipv6"), ARGUMENT),
        ("OriginMtlsConfig", json!({ "ClientCertificateArn": "a" }), ARGUMENT),
    ] {
        refused(&[(&at(name), value, &field(name), code)]);
    }
    let item = "Origins.Items[0]";
    let of = |name: &str| format!("{item}.{name}");
    refused(&[
        ("Origins", list(json!([])), "Origins", ARGUMENT),
        ("Origins.Items.1.Id", json!("web"), "Origins.Items[1].Id", ARGUMENT),
        ("Origins.Items.0.Id", json!(""), &of("Id"), ARGUMENT),
        ("Origins.Items.0.DomainName", json!("https://a.example"), &of("DomainName"), "InvalidOrigin"),
        ("Origins.Items.0.DomainName", json!("a.example:8080"), &of("DomainName"), "InvalidOrigin"),
        ("Origins.Items.1.DomainName", json!("a.example"), "Origins.Items[1].DomainName", "InvalidOrigin"),
        (
            "Origins.Items.1.DomainName",
            json!("films.s3-website-eu-west-1.amazonaws.com"),
            "Origins.Items[1].DomainName",
            "InvalidOrigin",
        ),
        ("Origins.Items.0", both, &of("DomainName"), "InvalidOrigin"),
        ("Origins.Items.0", house, &of("DomainName"), "InvalidOrigin"),
        ("Origins.Items.0.CustomOriginConfig", json!(null), &of("DomainName"), "InvalidOrigin"),
        ("Origins.Items.0.VpcOriginConfig", json!({ "VpcOriginId": "v" }), &of("VpcOriginConfig"), ARGUMENT),
        ("Origins.Items.0.ResponseCompletionTimeout", json!(30), &of("ResponseCompletionTimeout"), ARGUMENT),
        ("Origins.Items.0.ConnectionAttempts", json!(4), &of("ConnectionAttempts"), ARGUMENT),
        ("Origins.Items.0.ConnectionTimeout", json!(0), &of("ConnectionTimeout"), ARGUMENT),
        ("Origins.Items.0.OriginPath", json!("a"), &of("OriginPath"), "InvalidRelativePath"),
        ("Origins.Items.0.OriginPath", json!("/a/"), &of("OriginPath"), "InvalidRelativePath"),
        (
            "Origins.Items.0.OriginAccessControlId",
            json!("E1"),
            &of("OriginAccessControlId"),
            "InvalidOriginAccessControl",
        ),
        ("Origins.Items.0.OriginShield", json!({ "Enabled": true }), &of("OriginShield"), ARGUMENT),
        (
            "Origins.Items.0.OriginShield",
            json!({ "Enabled": false, "OriginShieldRegion": "eu-west-1" }),
            &of("OriginShield.OriginShieldRegion"),
            ARGUMENT,
        ),
        (
            "Origins.Items.1.S3OriginConfig.OriginAccessIdentity",
            json!("origin-access-identity/cloudfront/E1"),
            "Origins.Items[1].S3OriginConfig.OriginAccessIdentity",
            "InvalidOriginAccessIdentity",
        ),
        (
            "Origins.Items.0.CustomHeaders",
            list(json!(vec![json!({}); 31])),
            &of("CustomHeaders.Items"),
            "TooManyOriginCustomHeaders",
        ),
        ("Origins", list(json!(vec![json!({}); 101])), "Origins.Items", "TooManyOrigins"),
    ]);
    for name in ["Host", "cookie", "Via", "X-Amz-Meta", "X-Edge-Id", "Transfer-Encoding", "X-Real-IP", "a b", ""] {
        let field = of("CustomHeaders.Items[0].HeaderName");
        refused(&[("Origins.Items.0.CustomHeaders", header(name, "v"), &field, ARGUMENT)]);
    }
    let error = parse(&with("Origins.Items.0.CustomHeaders", header("X-Key", "secret\r\nx"))).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn of_live_origins() {
    let origin = |name: &str, value: Value| {
        let mut origin = json!({ "Id": "web", "DomainName": "c1.live.anabranch.internal" });
        origin[name] = value;
        origin
    };
    let custom = json!({ "HTTPPort": 8080, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only" });
    let header = list(json!([{ "HeaderName": "X-A", "HeaderValue": "v" }]));
    for (name, value) in [
        ("DomainName", json!("a.b.live.anabranch.internal")),
        ("DomainName", json!(".live.anabranch.internal")),
        ("CustomOriginConfig", custom),
        ("S3OriginConfig", json!({ "OriginAccessIdentity": "" })),
        ("OriginPath", json!("/a")),
        ("CustomHeaders", header),
        ("ConnectionAttempts", json!(1)),
        ("ConnectionTimeout", json!(1)),
    ] {
        let field = format!("Origins.Items[0].{name}");
        refused(&[("Origins.Items.0", origin(name, value), &field, "InvalidOrigin")]);
    }
}

#[test]
fn of_origin_groups() {
    let group = |statuses: Value, members: Value| {
        let members: Vec<Value> = members.as_array().unwrap().iter().map(|id| json!({ "OriginId": id })).collect();
        json!({
            "Id": "both", "FailoverCriteria": { "StatusCodes": list(statuses) }, "Members": list(json!(members)),
        })
    };
    let mut media = group(json!([500]), json!(["web", "files"]));
    media["SelectionCriteria"] = json!("media-quality-based");
    let mut named = group(json!([500]), json!(["web", "files"]));
    named["Id"] = json!("web");
    let at = "OriginGroups.Items[0]";
    for (group, field, code) in [
        (group(json!([200]), json!(["web", "files"])), "FailoverCriteria.StatusCodes.Items[0]", ARGUMENT),
        (group(json!([500, 500]), json!(["web", "files"])), "FailoverCriteria.StatusCodes.Items[1]", ARGUMENT),
        (group(json!([]), json!(["web", "files"])), "FailoverCriteria.StatusCodes", ARGUMENT),
        (group(json!([500]), json!(["web"])), "Members", ARGUMENT),
        (group(json!([500]), json!(["web", "web"])), "Members.Items[1]", ARGUMENT),
        (group(json!([500]), json!(["web", "files", "web"])), "Members.Items", ARGUMENT),
        (group(json!([500]), json!(["web", "no"])), "Members.Items[1].OriginId", "NoSuchOrigin"),
        (media, "SelectionCriteria", ARGUMENT),
        (named, "Id", ARGUMENT),
    ] {
        refused(&[("OriginGroups", list(json!([group])), &format!("{at}.{field}"), code)]);
    }
    let mut config = with("OriginGroups", list(json!([group(json!([500]), json!(["web", "files"]))])));
    config["DefaultCacheBehavior"]["TargetOriginId"] = json!("both");
    config["DefaultCacheBehavior"]["AllowedMethods"] =
        list(json!(["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]));
    assert_eq!(parse(&config).unwrap_err().field(), "DefaultCacheBehavior.AllowedMethods");
}

#[test]
fn of_behaviors() {
    let signers = json!({ "Enabled": true, "Quantity": 1, "Items": ["self"] });
    let function = list(json!([{ "FunctionARN": "arn", "EventType": "viewer-request" }]));
    let groups = |enabled: bool, ids: Value| {
        let mut groups = list(ids);
        groups["Enabled"] = json!(enabled);
        groups
    };
    let cached = |allowed: Value, cached: Value| {
        let mut methods = list(allowed);
        methods["CachedMethods"] = list(cached);
        methods
    };
    for (name, value, field, code) in [
        ("PathPattern", json!("*"), "PathPattern", ARGUMENT),
        ("TargetOriginId", json!("no"), "TargetOriginId", "NoSuchOrigin"),
        ("ViewerProtocolPolicy", json!("http-only"), "ViewerProtocolPolicy", ARGUMENT),
        ("SmoothStreaming", json!(true), "SmoothStreaming", ARGUMENT),
        ("FieldLevelEncryptionId", json!("F"), "FieldLevelEncryptionId", ARGUMENT),
        ("RealtimeLogConfigArn", json!("arn"), "RealtimeLogConfigArn", ARGUMENT),
        ("GrpcConfig", json!({ "Enabled": true }), "GrpcConfig.Enabled", ARGUMENT),
        ("FunctionAssociations", function, "FunctionAssociations", "InvalidFunctionAssociation"),
        ("TrustedSigners", signers, "TrustedSigners.Enabled", ARGUMENT),
        ("TrustedKeyGroups", groups(true, json!([])), "TrustedKeyGroups.Enabled", ARGUMENT),
        ("TrustedKeyGroups", groups(false, json!(["g"])), "TrustedKeyGroups.Enabled", ARGUMENT),
        ("TrustedKeyGroups", groups(true, json!(["g", "g"])), "TrustedKeyGroups.Items[1]", ARGUMENT),
        ("TrustedKeyGroups", groups(true, json!(["a/b"])), "TrustedKeyGroups.Items[0]", "TrustedKeyGroupDoesNotExist"),
        ("AllowedMethods", list(json!(["GET"])), "AllowedMethods", ARGUMENT),
        ("AllowedMethods", list(json!(["GET", "TRACE"])), "AllowedMethods.Items[1]", ARGUMENT),
        (
            "AllowedMethods",
            cached(json!(["GET", "HEAD"]), json!(["GET", "HEAD", "OPTIONS"])),
            "AllowedMethods.CachedMethods",
            ARGUMENT,
        ),
        ("CachePolicyId", json!(""), "", ARGUMENT),
        ("CachePolicyId", json!("no"), "CachePolicyId", "NoSuchCachePolicy"),
        ("CachePolicyId", json!("Amplify"), "CachePolicyId", ARGUMENT),
        ("OriginRequestPolicyId", json!("no"), "OriginRequestPolicyId", "NoSuchOriginRequestPolicy"),
        ("OriginRequestPolicyId", json!("33f36d7e-f396-46d9-90e0-52428a34d9dc"), "OriginRequestPolicyId", ARGUMENT),
        ("ResponseHeadersPolicyId", json!("no"), "ResponseHeadersPolicyId", "NoSuchResponseHeadersPolicy"),
        ("CachePolicy", json!({ "Name": "a", "MinTTL": 0 }), "CachePolicyId", ARGUMENT),
        ("ForwardedValues", json!({}), "ForwardedValues", ARGUMENT),
        ("MaxTTL", json!(60), "MaxTTL", ARGUMENT),
    ] {
        let at = format!("DefaultCacheBehavior.{name}");
        let field = format!("DefaultCacheBehavior.{field}");
        refused(&[(&at, value, field.trim_end_matches('.'), code)]);
    }
    let pattern = |pattern: &str| {
        let mut behavior = behavior();
        behavior["PathPattern"] = json!(pattern);
        list(json!([behavior]))
    };
    let field = "CacheBehaviors.Items[0].PathPattern";
    for text in ["", "a b", "/ä", "/a%20b", "/<", &format!("/{}", "x".repeat(255))] {
        refused(&[("CacheBehaviors", pattern(text), field, ARGUMENT)]);
    }
    let mut again = behavior();
    again["PathPattern"] = json!("a/*");
    let twice = list(json!([behavior(), again]));
    let many = list(json!(vec![behavior(); 76]));
    refused(&[
        ("CacheBehaviors", twice, "CacheBehaviors.Items[1].PathPattern", ARGUMENT),
        ("CacheBehaviors", many, "CacheBehaviors.Items", "TooManyCacheBehaviors"),
    ]);
}

#[test]
fn of_forwarded_values() {
    let none = || json!({ "QueryString": false, "Cookies": { "Forward": "none" } });
    let refused = |change: &dyn Fn(&mut Value), field: &str, code: &str| {
        let mut config = with("DefaultCacheBehavior.CachePolicyId", json!(null));
        config["DefaultCacheBehavior"]["ForwardedValues"] = none();
        change(&mut config["DefaultCacheBehavior"]);
        let error = parse(&config).unwrap_err();
        assert_eq!((error.field(), error.code()), (format!("DefaultCacheBehavior.{field}").as_str(), code), "{error}");
    };
    let values = |name: &'static str, value: Value| {
        move |behavior: &mut Value| behavior["ForwardedValues"][name] = value.clone()
    };
    refused(
        &values("QueryStringCacheKeys", list(json!(["a"]))),
        "ForwardedValues.QueryStringCacheKeys",
        "InvalidQueryStringParameters",
    );
    refused(&values("Cookies", json!({ "Forward": "whitelist" })), "ForwardedValues.Cookies.Forward", ARGUMENT);
    refused(&values("Cookies", json!({ "Forward": "allExcept" })), "ForwardedValues.Cookies.Forward", ARGUMENT);
    refused(
        &values("Cookies", json!({ "Forward": "whitelist", "WhitelistedNames": list(json!(["a?"])) })),
        "ForwardedValues.Cookies.WhitelistedNames.Items[0]",
        ARGUMENT,
    );
    refused(&values("Headers", list(json!(["*", "Origin"]))), "ForwardedValues.Headers", ARGUMENT);
    refused(
        &values("Headers", list(json!(["CloudFront-Is-Mobile-Viewer"]))),
        "ForwardedValues.Headers.Items[0]",
        ARGUMENT,
    );
    refused(&values("Headers", list(json!(["Cookie"]))), "ForwardedValues.Headers.Items[0]", ARGUMENT);
    refused(
        &|behavior| (behavior["DefaultTTL"], behavior["MaxTTL"]) = (json!(11), json!(10)),
        "DefaultTTL",
        "InvalidTTLOrder",
    );
    refused(
        &|behavior| (behavior["MinTTL"], behavior["MaxTTL"]) = (json!(9), json!(8)),
        "DefaultTTL",
        "InvalidTTLOrder",
    );
    refused(&|behavior| behavior["MinTTL"] = json!(-1), "MinTTL", ARGUMENT);
    refused(
        &|behavior| {
            behavior["ForwardedValues"]["Headers"] = list(json!(["*"]));
            behavior["MinTTL"] = json!(1);
        },
        "MinTTL",
        ARGUMENT,
    );
    refused(&|behavior| behavior["OriginRequestPolicyId"] = json!("AllViewer"), "OriginRequestPolicyId", ARGUMENT);
}

#[test]
fn of_policies_of_ones_own() {
    let headers = |behavior: &str, names: Value| json!({ "HeaderBehavior": behavior, "Headers": list(names) });
    let key = |name: &str, value: Value| json!({ "CachePolicy": { "Name": "a", "MinTTL": 0, "ParametersInCacheKeyAndForwardedToOrigin": { name: value } } });
    let request = |name: &str, value: Value| json!({ "OriginRequestPolicy": { "Name": "a", name: value } });
    let response = |name: &str, value: Value| json!({ "ResponseHeadersPolicy": { "Name": "a", name: value } });
    let custom =
        |name: &str| response("CustomHeadersConfig", list(json!([{ "Header": name, "Value": "v", "Override": true }])));
    let cors = |name: &str, value: Value| {
        let mut cors = crate::documents::response_headers()["CorsConfig"].take();
        cors[name] = value;
        response("CorsConfig", cors)
    };
    let parameters = "CachePolicy.ParametersInCacheKeyAndForwardedToOrigin";
    let off = json!({ "CachePolicy": {
        "Name": "a", "MinTTL": 0, "DefaultTTL": 0, "MaxTTL": 0,
        "ParametersInCacheKeyAndForwardedToOrigin": { "EnableAcceptEncodingGzip": true },
    } });
    for (part, field) in [
        (json!({ "CachePolicy": { "Name": "x".repeat(129), "MinTTL": 0 } }), "CachePolicy.Name".to_owned()),
        (off, parameters.to_owned()),
        (key("HeadersConfig", headers("allViewer", json!([]))), format!("{parameters}.HeadersConfig.HeaderBehavior")),
        (
            key("HeadersConfig", headers("whitelist", json!(["Accept-Encoding"]))),
            format!("{parameters}.HeadersConfig.Headers.Items[0]"),
        ),
        (
            key("HeadersConfig", headers("none", json!(["Origin"]))),
            format!("{parameters}.HeadersConfig.HeaderBehavior"),
        ),
        (
            key("QueryStringsConfig", json!({ "QueryStringBehavior": "allExcept" })),
            format!("{parameters}.QueryStringsConfig.QueryStringBehavior"),
        ),
        (
            request("HeadersConfig", headers("allViewerAndWhitelistCloudFront", json!(["CloudFront-Viewer-TLS"]))),
            "OriginRequestPolicy.HeadersConfig.HeaderBehavior".to_owned(),
        ),
        (
            request("HeadersConfig", headers("whitelist", json!(["Authorization"]))),
            "OriginRequestPolicy.HeadersConfig.Headers.Items[0]".to_owned(),
        ),
        (
            request("HeadersConfig", headers("whitelist", json!(["Origin", "ORIGIN"]))),
            "OriginRequestPolicy.HeadersConfig.Headers.Items[1]".to_owned(),
        ),
        (custom("Transfer-Encoding"), "ResponseHeadersPolicy.CustomHeadersConfig.Items[0].Header".to_owned()),
        (custom("X-Frame-Options"), "ResponseHeadersPolicy.CustomHeadersConfig.Items[0].Header".to_owned()),
        (custom("Access-Control-Max-Age"), "ResponseHeadersPolicy.CustomHeadersConfig.Items[0].Header".to_owned()),
        (
            response("RemoveHeadersConfig", list(json!([{ "Header": "Content-Length" }]))),
            "ResponseHeadersPolicy.RemoveHeadersConfig.Items[0].Header".to_owned(),
        ),
        (
            response("ServerTimingHeadersConfig", json!({ "Enabled": true, "SamplingRate": 101 })),
            "ResponseHeadersPolicy.ServerTimingHeadersConfig.SamplingRate".to_owned(),
        ),
        (
            cors("AccessControlAllowOrigins", list(json!(["https://a.*.example"]))),
            "ResponseHeadersPolicy.CorsConfig.AccessControlAllowOrigins.Items[0]".to_owned(),
        ),
        (
            cors("AccessControlAllowOrigins", list(json!(["https://a.example/x"]))),
            "ResponseHeadersPolicy.CorsConfig.AccessControlAllowOrigins.Items[0]".to_owned(),
        ),
        (
            cors("AccessControlAllowMethods", list(json!([]))),
            "ResponseHeadersPolicy.CorsConfig.AccessControlAllowMethods".to_owned(),
        ),
        (cors("OriginOverride", json!(null)), "ResponseHeadersPolicy.CorsConfig.OriginOverride".to_owned()),
        (
            response(
                "SecurityHeadersConfig",
                json!({ "XSSProtection": { "Override": true, "Protection": true, "ModeBlock": true, "ReportUri": "/x" } }),
            ),
            "ResponseHeadersPolicy.SecurityHeadersConfig.XSSProtection".to_owned(),
        ),
    ] {
        let mut behavior = json!({ "TargetOriginId": "web", "ViewerProtocolPolicy": "allow-all" });
        behavior["CachePolicyId"] = json!(if part.get("CachePolicy").is_some() { "" } else { "CachingOptimized" });
        for (name, value) in part.as_object().unwrap() {
            behavior[name] = value.clone();
        }
        let error = parse(&with("DefaultCacheBehavior", behavior)).unwrap_err();
        assert_eq!(error.field(), format!("DefaultCacheBehavior.{field}"), "{error}");
    }
}

#[test]
fn of_error_responses() {
    let at = "CustomErrorResponses.Items[0]";
    for (response, field, code) in [
        (json!({ "ErrorCode": 418 }), "ErrorCode", "InvalidErrorCode"),
        (
            json!({ "ErrorCode": 404, "ResponsePagePath": "/a", "ResponseCode": "302" }),
            "ResponseCode",
            "InvalidResponseCode",
        ),
        (
            json!({ "ErrorCode": 404, "ResponsePagePath": "/a", "ResponseCode": 200 }),
            "ResponseCode",
            "InvalidResponseCode",
        ),
        (json!({ "ErrorCode": 404, "ResponsePagePath": "/a" }), "ResponsePagePath", ARGUMENT),
        (json!({ "ErrorCode": 404, "ResponseCode": "200" }), "ResponseCode", ARGUMENT),
        (
            json!({ "ErrorCode": 404, "ResponsePagePath": "a", "ResponseCode": "200" }),
            "ResponsePagePath",
            "InvalidRelativePath",
        ),
        (json!({ "ErrorCode": 404, "ErrorCachingMinTTL": -1 }), "ErrorCachingMinTTL", ARGUMENT),
    ] {
        refused(&[("CustomErrorResponses", list(json!([response])), &format!("{at}.{field}"), code)]);
    }
    let twice = list(json!([{ "ErrorCode": 404 }, { "ErrorCode": 404 }]));
    refused(&[("CustomErrorResponses", twice, "CustomErrorResponses.Items[1].ErrorCode", ARGUMENT)]);
}
