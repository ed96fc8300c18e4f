import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Checks on a broker, as MSK does, that a token is a URL that was signed for kafka-cluster:Connect with a known key
 * and has not ended: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
public class MskIamValidator implements AuthenticateCallbackHandler {
    private String accessKey;
    private String secretKey;

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {
        accessKey = (String) jaas.get(0).getOptions().get("accessKey");
        secretKey = (String) jaas.get(0).getOptions().get("secretKey");
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback asked) {
                try {
                    asked.token(check(asked.tokenValue()));
                } catch (Exception refused) {
                    asked.error("invalid_token", null, null);
                }
            } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
                extensions.inputExtensions().map().keySet().forEach(extensions::valid);
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private OAuthBearerToken check(String token) throws Exception {
        URI url = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        TreeMap<String, String> raw = new TreeMap<>();
        for (String pair : url.getRawQuery().split("&")) {
            String[] parts = pair.split("=", 2);
            raw.put(parts[0], parts[1]);
        }
        raw.remove("User-Agent"); // added after the signature
        String signature = raw.remove("X-Amz-Signature");
        String[] scope = decoded(raw, "X-Amz-Credential").split("/");
        String date = decoded(raw, "X-Amz-Date");
        require(decoded(raw, "Action").equals("kafka-cluster:Connect"));
        require(scope[0].equals(accessKey) && scope[3].equals("kafka-cluster"));
        require(url.getHost().equals("kafka." + scope[2] + ".amazonaws.com"));

        StringBuilder query = new StringBuilder();
        raw.forEach((name, value) -> query.append(query.isEmpty() ? "" : "&").append(name).append("=").append(value));
        String request = String.join("\n", "GET", "/", query, "host:" + url.getHost(), "", "host", hex(sha256("")));
        String signed = String.join("\n", "AWS4-HMAC-SHA256", date, String.join("/", scope[1], scope[2], scope[3], scope[4]), hex(sha256(request)));
        byte[] key = ("AWS4" + secretKey).getBytes(StandardCharsets.UTF_8);
        for (int part = 1; part <= 4; part++) {
            key = hmac(key, scope[part]);
        }
        require(hex(hmac(key, signed)).equals(signature));

        long startMs = Instant.from(DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC).parse(date)).toEpochMilli();
        long endMs = startMs + 1000 * Long.parseLong(decoded(raw, "X-Amz-Expires"));
        require(System.currentTimeMillis() < endMs);
        return new OAuthBearerToken() {
            public String value() { return token; }
            public Set<String> scope() { return Set.of(); }
            public long lifetimeMs() { return endMs; }
            public String principalName() { return scope[0]; }
            public Long startTimeMs() { return startMs; }
        };
    }

    private static String decoded(Map<String, String> query, String name) {
        return URLDecoder.decode(query.get(name), StandardCharsets.UTF_8);
    }

    private static void require(boolean condition) {
        if (!condition) {
            throw new IllegalArgumentException();
        }
    }

    private static byte[] sha256(String text) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    @Override
    public void close() { }
}
