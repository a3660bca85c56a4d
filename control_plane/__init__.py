"""The API that deploys: Cloudflare-compatible where clients expect it, our own where that API has no word for it.

    app         the route table, mounted; the one place that maps errors to HTTP
    endpoints   a request on its way to its handler: who calls, for which site, with which body
    projects, assets, deployments, domains, accounts, operator, health      the handlers
    plane       what handlers work with: store, blobs, secrets, clock; the one line at which writes leave the loop
    deploy      a posted form to a deployment that is live
    activation  the one place that turns deployments into routes
    kept_assets, deploy_order, branch_slug, documents, project_settings     the pure core
    tokens, upload_token, variables, secret_files                           secrets
    collect     what no deployment needs any more

A request passes: token → site (or the answer that tells nothing) → body, bounded → handler → one write transaction
that reads whatever it decides by → envelope.
"""
